"""Accept, reject, undo: what they change, what they refuse, and to whom."""

import pytest

from booru_ml.errors import InvalidInput, NotFound, NotPermitted, StaleState
from deploy.demo.board.models import Tag
from tagging import services
from tagging.models import TagDecision
from tests.people import user
from tests.tagging.factories import moderator, post, suggestion

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("gallery")]


def names(on):
    return sorted(on.tags.values_list("name", flat=True))


def test_accepting_a_tag_writes_it_to_the_post_with_its_category():
    picture = post()
    row = suggestion(picture, "miku", "character")
    decision = services.accept(suggestion_id=row.pk, actor=picture.uploader)
    assert picture.tags.get().category == Tag.Category.CHARACTER
    row.refresh_from_db()
    assert row.state == "accepted"
    assert decision.delta["tags_added"] == [["miku", "character"]]
    assert (decision.actor, decision.from_state, decision.to_state) == (picture.uploader, "suggested", "accepted")


def test_accepting_what_is_there_already_has_nothing_to_take_back():
    picture = post()
    picture.tags.add(Tag.objects.create(name="hat"))
    decision = services.accept(suggestion_id=suggestion(picture, "hat").pk, actor=picture.uploader)
    assert decision.delta == {}
    services.undo(decision_id=decision.pk, actor=picture.uploader)
    assert names(picture) == ["hat"]


def test_accepting_a_rating_sets_it_and_undo_restores_the_one_before():
    picture = post(rating="g")
    row = suggestion(picture, "q", "rating")
    decision = services.accept(suggestion_id=row.pk, actor=picture.uploader)
    picture.refresh_from_db()
    assert picture.rating == "q"
    assert not picture.tags.exists()
    assert decision.delta == {"rating_before": "g", "rating_after": "q"}
    services.undo(decision_id=decision.pk, actor=picture.uploader)
    picture.refresh_from_db()
    assert picture.rating == "g"


def test_a_rating_that_somebody_chose_meanwhile_stands():
    picture = post(rating="g")
    decision = services.accept(suggestion_id=suggestion(picture, "q", "rating").pk, actor=picture.uploader)
    picture.rating = "e"
    picture.save()
    undone = services.undo(decision_id=decision.pk, actor=picture.uploader)
    picture.refresh_from_db()
    assert picture.rating == "e"
    assert undone.delta == {}


def test_accepting_a_grade_writes_nothing_to_the_post():
    picture = post()
    decision = services.accept(suggestion_id=suggestion(picture, "poor", "quality").pk, actor=picture.uploader)
    assert decision.delta == {}
    assert not picture.tags.exists()


def test_undo_restores_exactly_the_delta_whatever_happened_to_the_post_since():
    picture = post()
    decision = services.accept(suggestion_id=suggestion(picture, "hat").pk, actor=picture.uploader)
    picture.tags.add(Tag.objects.create(name="added_later"))
    services.undo(decision_id=decision.pk, actor=picture.uploader)
    assert names(picture) == ["added_later"]


def test_undo_of_a_tag_that_is_gone_already_is_no_error():
    picture = post()
    decision = services.accept(suggestion_id=suggestion(picture, "hat").pk, actor=picture.uploader)
    picture.tags.clear()
    assert services.undo(decision_id=decision.pk, actor=picture.uploader).delta == {}


@pytest.mark.parametrize(("verb", "positive"), [(services.accept, True), (services.reject, False)])
def test_decisions_teach_the_gallery_and_undo_makes_it_forget(gallery, verb, positive):
    picture = post()
    row = suggestion(picture, "miku", "character", evidence={"subject_name": "Miku", "face": 1})
    decision = verb(suggestion_id=row.pk, actor=picture.uploader)
    assert list(gallery.lessons.values()) == [(picture.pk, "Miku", "character", positive)]
    assert decision.delta["support_added"] in gallery.lessons
    services.undo(decision_id=decision.pk, actor=picture.uploader)
    assert not gallery.lessons


def test_general_tags_teach_the_gallery_nothing(gallery):
    picture = post()
    services.accept(suggestion_id=suggestion(picture, "hat").pk, actor=picture.uploader)
    assert not gallery.lessons


def test_a_rejection_leaves_the_post_alone():
    picture = post()
    row = suggestion(picture, "hat")
    services.reject(suggestion_id=row.pk, actor=picture.uploader)
    row.refresh_from_db()
    assert row.state == "rejected"
    assert not picture.tags.exists()


@pytest.mark.parametrize("state", ["accepted", "rejected", "withdrawn"])
@pytest.mark.parametrize("verb", [services.accept, services.reject])
def test_decided_suggestions_are_not_decided_again(verb, state):
    picture = post()
    row = suggestion(picture, state=state)
    with pytest.raises(StaleState) as stale:
        verb(suggestion_id=row.pk, actor=picture.uploader)
    assert stale.value.extra == {"state": state}
    assert not TagDecision.objects.exists()
    assert not picture.tags.exists()


def test_undo_works_once():
    picture = post()
    decision = services.accept(suggestion_id=suggestion(picture).pk, actor=picture.uploader)
    services.undo(decision_id=decision.pk, actor=picture.uploader)
    with pytest.raises(StaleState):
        services.undo(decision_id=decision.pk, actor=picture.uploader)
    assert TagDecision.objects.count() == 2


def test_only_the_standing_decision_is_undone():
    picture = post()
    row = suggestion(picture)
    first = services.accept(suggestion_id=row.pk, actor=picture.uploader)
    services.undo(decision_id=first.pk, actor=picture.uploader)
    second = services.accept(suggestion_id=row.pk, actor=picture.uploader)
    with pytest.raises(StaleState):
        services.undo(decision_id=first.pk, actor=picture.uploader)
    assert names(picture) == ["long_hair"]
    services.undo(decision_id=second.pk, actor=picture.uploader)
    assert names(picture) == []


def test_an_undo_is_not_undone():
    picture = post()
    decision = services.reject(suggestion_id=suggestion(picture).pk, actor=picture.uploader)
    undone = services.undo(decision_id=decision.pk, actor=picture.uploader)
    with pytest.raises(InvalidInput):
        services.undo(decision_id=undone.pk, actor=picture.uploader)


def test_what_does_not_exist_is_not_found():
    judge = moderator()
    for verb in (services.accept, services.reject):
        with pytest.raises(NotFound):
            verb(suggestion_id=10**9, actor=judge)
    with pytest.raises(NotFound):
        services.undo(decision_id=2**70, actor=judge)


def test_a_failed_write_to_the_board_leaves_no_trace(monkeypatch, gallery):
    picture = post()
    row = suggestion(picture, "miku", "character")
    board = services.host()

    def broken(*args, **kwargs):
        raise RuntimeError("the board is on fire")

    monkeypatch.setattr(board, "add_tags", broken)
    with pytest.raises(RuntimeError):
        services.accept(suggestion_id=row.pk, actor=picture.uploader)
    row.refresh_from_db()
    assert row.state == "suggested"
    assert not TagDecision.objects.exists()


def test_deleted_accounts_leave_their_decisions_to_moderators():
    picture, helper = post(), moderator()
    decision = services.reject(suggestion_id=suggestion(picture).pk, actor=helper)
    helper.delete()
    with pytest.raises(NotPermitted):
        services.undo(decision_id=decision.pk, actor=picture.uploader)
    services.undo(decision_id=decision.pk, actor=moderator())


def test_bulk_verbs_do_what_they_can_and_say_what_they_left():
    picture, judge = post(), moderator()
    rows = [suggestion(picture, f"tag{i}") for i in range(3)]
    services.reject(suggestion_id=rows[1].pk, actor=judge)
    outcome = services.accept_many(suggestion_ids=[row.pk for row in rows] + [10**9, rows[0].pk], actor=judge)
    assert [decision.suggestion_id for decision in outcome.done] == [rows[0].pk, rows[2].pk]
    assert {pk: error.code for pk, error in outcome.refused.items()} == {rows[1].pk: "stale_state", 10**9: "not_found"}
    assert names(picture) == ["tag0", "tag2"]
    back = services.undo_many(decision_ids=[decision.pk for decision in outcome.done], actor=judge)
    assert len(back.done) == 2
    assert names(picture) == []
    assert len(services.reject_many(suggestion_ids=[rows[0].pk], actor=judge).done) == 1


def people(picture):
    return {
        "uploader": picture.uploader,
        "other": user(),
        "moderator": moderator(),
        "superuser": user(is_superuser=True),
        "inactive": user(is_superuser=True, is_active=False),
        "nobody": None,
    }


@pytest.mark.parametrize("verb", [services.accept, services.reject])
@pytest.mark.parametrize(
    ("who", "status", "allowed"),
    [
        ("uploader", "active", True),
        ("uploader", "pending", True),
        ("uploader", "flagged", True),
        ("uploader", "deleted", False),
        ("other", "active", False),
        ("moderator", "active", True),
        ("moderator", "deleted", True),
        ("superuser", "active", True),
        ("inactive", "active", False),
        ("nobody", "active", False),
    ],
)
def test_who_may_decide(verb, who, status, allowed):
    picture = post(status=status)
    row = suggestion(picture)
    actor = people(picture)[who]
    if allowed:
        assert verb(suggestion_id=row.pk, actor=actor).actor == actor
    else:
        with pytest.raises((NotPermitted, NotFound)):
            verb(suggestion_id=row.pk, actor=actor)
        row.refresh_from_db()
        assert row.state == "suggested"


@pytest.mark.parametrize(
    ("decided_by", "who", "allowed"),
    [
        ("uploader", "uploader", True),
        ("uploader", "other", False),
        ("uploader", "moderator", True),
        ("moderator", "uploader", False),
        ("moderator", "superuser", True),
        ("moderator", "other", False),
    ],
)
def test_who_may_undo(decided_by, who, allowed):
    picture = post()
    everyone = people(picture)
    decision = services.reject(suggestion_id=suggestion(picture).pk, actor=everyone[decided_by])
    if allowed:
        services.undo(decision_id=decision.pk, actor=everyone[who])
    else:
        with pytest.raises(NotPermitted):
            services.undo(decision_id=decision.pk, actor=everyone[who])
