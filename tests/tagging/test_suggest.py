"""What analyses do to suggestion rows."""

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from booru_ml.models import AnalysisJob
from booru_ml.types import Category, Refusal
from deploy.demo.board.models import Tag
from tagging import selectors, services
from tagging.models import Suggestion, TagDecision
from tests.tagging.factories import analysis, finding, job, match, moderator, post

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("gallery", "bars")]


def run(on, job_id=1, matches=(), gallery=None, **said):
    if gallery is not None:
        gallery.matches[on.pk] = tuple(matches)
    services.suggest([analysis(on, finding(**said), job_id=job_id)])


def states(on):
    return dict(Suggestion.objects.filter(post=on).values_list("name", "state"))


def row(on, name):
    return Suggestion.objects.get(post=on, name=name)


def auto(settings, **bars):
    settings.BOORU_ML = {**settings.BOORU_ML, "AUTO_APPLY": True, "AUTO_APPLY_THRESHOLDS": bars}


def test_a_finding_becomes_rows_with_score_source_and_version(gallery):
    picture = post()
    run(picture, tags={"hat": 0.9}, rating={"q": 0.8, "g": 0.2}, matches=[match("miku")], gallery=gallery)
    assert states(picture) == {"hat": "suggested", "q": "suggested", "miku": "suggested"}
    hat, miku = row(picture, "hat"), row(picture, "miku")
    assert (hat.source, hat.model_version, hat.gallery_revision) == ("model", "net@000000000001", None)
    assert (miku.source, miku.model_version, miku.gallery_revision) == ("prototype", "lite0@000000000001", 7)
    assert miku.evidence["nearest"] == ["3", "4"]


@pytest.mark.skipif(connection.vendor != "sqlite", reason="other databases keep statistics")
def test_sqlite_looks_for_the_suggestions_of_posts_by_the_posts():
    pictures = [post() for _ in range(3)]
    for picture in pictures:
        run(picture, tags={"hat": 0.9})
    with CaptureQueriesContext(connection) as asked:
        services.suggest([analysis(picture, finding(tags={"hat": 0.8})) for picture in pictures])
        selectors.suggestions_of([picture.pk for picture in pictures])
    selects = [query["sql"] for query in asked.captured_queries if query["sql"].startswith("SELECT")]
    plans = []
    with connection.cursor() as cursor:
        for sql in selects:
            cursor.execute(f"EXPLAIN QUERY PLAN {sql}")
            plans += [line for *_, line in cursor.fetchall() if "booru_tagging_suggestion" in line]
    assert len(plans) >= 3
    assert all("(post_id=?" in plan for plan in plans), plans


def test_a_refused_picture_changes_nothing():
    picture = post()
    run(picture, tags={"hat": 0.9})
    services.suggest([analysis(picture, None, refusal=Refusal("corrupt", "It is damaged."))])
    assert states(picture) == {"hat": "suggested"}


def test_doubled_messages_make_one_set_of_rows():
    picture = post()
    for _ in range(3):
        run(picture, tags={"hat": 0.9, "smile": 0.8})
    assert Suggestion.objects.count() == 2


def test_of_two_jobs_in_one_batch_the_later_speaks():
    picture = post()
    services.suggest(
        [
            analysis(picture, finding(tags={"new": 0.9}), job_id=2),
            analysis(picture, finding(tags={"old": 0.9}), job_id=1),
        ]
    )
    assert states(picture) == {"new": "suggested"}


def test_a_new_run_rescores_open_rows_and_keeps_their_identity():
    picture = post()
    run(picture, tags={"hat": 0.5})
    before = row(picture, "hat")
    run(picture, tags={"hat": 0.9}, model="net@000000000002")
    after = row(picture, "hat")
    assert after.pk == before.pk
    assert (round(after.score, 2), after.model_version) == (0.9, "net@000000000002")
    assert after.scored_at >= before.scored_at
    assert after.created_at == before.created_at


def test_what_a_new_run_does_not_support_goes():
    picture = post()
    run(picture, tags={"hat": 0.9}, rating={"q": 0.9, "g": 0.1})
    run(picture, tags={"smile": 0.9}, rating={"s": 0.9, "g": 0.1})
    assert states(picture) == {"smile": "suggested", "s": "suggested"}


def test_decided_rows_survive_every_later_run():
    picture, judge = post(), moderator()
    run(picture, tags={"hat": 0.9, "smile": 0.9})
    services.accept(suggestion_id=row(picture, "hat").pk, actor=judge)
    services.reject(suggestion_id=row(picture, "smile").pk, actor=judge)
    run(picture, tags={"hat": 0.6, "smile": 0.99}, model="net@000000000002")
    run(picture, tags={"sky": 0.9})
    assert states(picture) == {"hat": "accepted", "smile": "rejected", "sky": "suggested"}
    assert round(row(picture, "smile").score, 2) == 0.9
    assert row(picture, "hat").model_version == "net@000000000001"


def test_a_withdrawn_row_with_a_history_stays_and_may_come_back():
    picture, judge = post(), moderator()
    run(picture, tags={"hat": 0.9})
    decision = services.accept(suggestion_id=row(picture, "hat").pk, actor=judge)
    services.undo(decision_id=decision.pk, actor=judge)
    run(picture, tags={"smile": 0.9})
    assert states(picture) == {"hat": "withdrawn", "smile": "suggested"}
    assert TagDecision.objects.count() == 2
    run(picture, tags={"hat": 0.7})
    assert states(picture) == {"hat": "suggested"}


def test_statements_do_not_grow_with_the_batch(django_assert_max_num_queries):
    few, many = [post() for _ in range(2)], [post() for _ in range(12)]
    said = {f"tag{i}": 0.9 for i in range(5)}
    for batch in (few, many):
        with django_assert_max_num_queries(14):
            services.suggest([analysis(item, finding(tags=said), job_id=item.pk) for item in batch])
        with django_assert_max_num_queries(14):
            services.suggest([analysis(item, finding(tags={"other": 0.8}), job_id=item.pk) for item in batch])


def test_nothing_is_applied_while_the_switch_is_off(settings):
    settings.BOORU_ML = {**settings.BOORU_ML, "AUTO_APPLY": False, "AUTO_APPLY_THRESHOLDS": {"general": 0.1}}
    picture = post()
    run(picture, tags={"hat": 0.99})
    assert states(picture) == {"hat": "suggested"}
    assert not picture.tags.exists()


def test_a_guess_is_never_applied(settings, gallery):
    auto(settings, character=0.95)
    picture = post()
    run(picture, matches=[match("miku", 0.99, guess=True), match("luka", 0.96)], gallery=gallery)
    assert states(picture) == {"miku": "suggested", "luka": "auto_applied"}


def test_what_clears_its_bar_is_applied_with_an_audit_row(settings):
    auto(settings, general=0.95)
    picture = post()
    run(picture, tags={"hat": 0.99, "smile": 0.9, "miku": 0.99}, categories={"miku": Category.CHARACTER})
    assert states(picture) == {"hat": "auto_applied", "smile": "suggested", "miku": "suggested"}
    assert [tag.name for tag in picture.tags.all()] == ["hat"]
    decision = TagDecision.objects.get()
    assert (decision.verb, decision.actor, decision.delta) == ("auto_apply", None, {"tags_added": [["hat", "general"]]})


def test_a_tag_that_people_set_is_not_claimed(settings):
    auto(settings, general=0.9)
    picture = post()
    picture.tags.add(Tag.objects.create(name="hat"))
    run(picture, tags={"hat": 0.99})
    assert states(picture) == {"hat": "suggested"}


def test_what_a_person_took_back_is_not_applied_again(settings):
    auto(settings, general=0.9)
    picture, judge = post(), moderator()
    run(picture, tags={"hat": 0.99})
    services.undo(decision_id=TagDecision.objects.get().pk, actor=judge)
    assert not picture.tags.exists()
    run(picture, tags={"hat": 0.99})
    assert states(picture) == {"hat": "suggested"}
    assert not picture.tags.exists()


def test_rejecting_an_applied_tag_takes_it_off_and_undo_puts_it_back(settings):
    auto(settings, general=0.9)
    picture, judge = post(), moderator()
    run(picture, tags={"hat": 0.99})
    decision = services.reject(suggestion_id=row(picture, "hat").pk, actor=judge)
    assert not picture.tags.exists()
    assert decision.delta["tags_removed"] == [["hat", "general"]]
    services.undo(decision_id=decision.pk, actor=judge)
    assert [tag.name for tag in picture.tags.all()] == ["hat"]
    assert states(picture) == {"hat": "auto_applied"}


def test_a_form_that_wipes_the_tags_of_a_fresh_upload_is_survived(settings):
    auto(settings, general=0.9)
    picture = post()
    upload = job(picture, priority=AnalysisJob.Priority.FRESH)
    run(picture, upload.pk, tags={"hat": 0.99})
    picture.tags.clear()
    run(picture, upload.pk, tags={"hat": 0.99})
    assert [tag.name for tag in picture.tags.all()] == ["hat"]
    latest, first = TagDecision.objects.all()
    with pytest.raises(services.StaleState):
        services.undo(decision_id=first.pk, actor=moderator())
    services.undo(decision_id=latest.pk, actor=moderator())
    assert not picture.tags.exists()
    assert states(picture) == {"hat": "suggested"}


@pytest.mark.parametrize("priority", [AnalysisJob.Priority.RERUN, AnalysisJob.Priority.BACKFILL])
def test_later_removals_by_people_are_respected(settings, priority):
    auto(settings, general=0.9)
    picture = post()
    run(picture, job(picture).pk, tags={"hat": 0.99})
    picture.tags.clear()
    later = AnalysisJob.objects.create(
        post=picture, content_key=picture.sha256, pipeline_version="p2", priority=priority
    )
    run(picture, later.pk, tags={"hat": 0.99})
    assert not picture.tags.exists()


def test_switching_off_stops_writing_at_once(settings):
    auto(settings, general=0.9)
    picture = post()
    upload = job(picture)
    run(picture, upload.pk, tags={"hat": 0.99})
    picture.tags.clear()
    settings.BOORU_ML = {**settings.BOORU_ML, "AUTO_APPLY": False}
    run(picture, upload.pk, tags={"hat": 0.99})
    assert not picture.tags.exists()


def test_the_gallery_is_asked_again_without_the_networks(gallery):
    picture = post()
    run(picture, tags={"hat": 0.9})
    gallery.matches[picture.pk] = (match("miku", 0.8),)
    assert services.resuggest([picture.pk, 10**6]) == 1
    assert states(picture) == {"hat": "suggested", "miku": "suggested"}
    gallery.matches[picture.pk] = (match("luka", 0.8),)
    services.resuggest([picture.pk])
    assert states(picture) == {"hat": "suggested", "luka": "suggested"}


def test_the_gallery_does_not_talk_down_a_tagger(gallery):
    picture = post()
    run(picture, tags={"miku": 0.9}, categories={"miku": Category.CHARACTER})
    gallery.matches[picture.pk] = (match("miku", 0.8),)
    services.resuggest([picture.pk])
    assert row(picture, "miku").source == "model"
    gallery.matches[picture.pk] = (match("miku", 0.95),)
    services.resuggest([picture.pk])
    assert row(picture, "miku").source == "prototype"
