import pytest

from booru_ml.types import Box, Category
from deploy.demo.board.models import Tag
from tagging import services
from tagging.selectors import decisions_of, suggestions_of
from tests.tagging.factories import post, suggestion

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("gallery")]


def test_suggestions_come_by_category_then_best_first():
    picture = post(rating="g")
    suggestion(picture, "hat", score=0.5)
    suggestion(picture, "smile", score=0.9)
    suggestion(picture, "miku", "character")
    suggestion(picture, "q", "rating")
    suggestion(picture, "poor", "quality")
    assert [view.name for view in suggestions_of([picture.pk])[picture.pk]] == ["q", "miku", "smile", "hat", "poor"]


def test_every_asked_post_is_answered():
    assert suggestions_of([1, 2, 2]) == {1: (), 2: ()}


def test_a_view_tells_why_and_where():
    picture = post()
    suggestion(
        picture,
        "miku",
        "character",
        source="prototype",
        gallery_revision=4,
        evidence={"kind": "prototype", "supports": 5, "box": [0.1, 0.2, 0.3, 0.4], "face": 0, "nearest": ["9"]},
    )
    (view,) = suggestions_of([picture.pk])[picture.pk]
    assert view.category is Category.CHARACTER
    assert view.box == Box(0.1, 0.2, 0.3, 0.4)
    assert view.why == "This face looks like 5 enrolled pictures: 90% sure; nearest is post 9."
    assert (view.gallery_revision, view.source, view.decision_id) == (4, "prototype", None)


def test_what_the_post_fulfils_already_is_shown_only_on_request():
    picture = post(rating="g")
    picture.tags.add(Tag.objects.create(name="hat"))
    suggestion(picture, "hat")
    suggestion(picture, "g", "rating", evidence={"kind": "rating", "shares": {"g": 0.9, "q": 0.1}})
    suggestion(picture, "smile")
    assert [view.name for view in suggestions_of([picture.pk])[picture.pk]] == ["smile"]
    everything = {view.name: view for view in suggestions_of([picture.pk], confirming=True)[picture.pk]}
    assert everything["g"].confirms
    assert everything["hat"].confirms
    assert not everything["smile"].confirms
    assert everything["g"].shares == {"g": 0.9, "q": 0.1}


def test_a_decided_view_names_the_standing_decision():
    picture = post()
    row = suggestion(picture)
    first = services.accept(suggestion_id=row.pk, actor=picture.uploader)
    services.undo(decision_id=first.pk, actor=picture.uploader)
    second = services.reject(suggestion_id=row.pk, actor=picture.uploader)
    (view,) = suggestions_of([picture.pk])[picture.pk]
    assert (view.state, view.decision_id, view.decided_by) == ("rejected", second.pk, picture.uploader.username)
    assert view.decided_at == second.created_at


def test_withdrawn_rows_are_history():
    picture = post()
    suggestion(picture, state="withdrawn")
    assert suggestions_of([picture.pk])[picture.pk] == ()
    assert len(suggestions_of([picture.pk], states=["withdrawn"])[picture.pk]) == 1


def test_queries_do_not_grow_with_the_posts(django_assert_max_num_queries):
    pictures = [post() for _ in range(6)]
    for picture in pictures:
        services.accept(suggestion_id=suggestion(picture).pk, actor=picture.uploader)
        suggestion(picture, "smile")
    with django_assert_max_num_queries(6):
        assert all(len(views) == 2 for views in suggestions_of([item.pk for item in pictures]).values())


def test_history_is_newest_first_and_of_this_post_alone(django_assert_num_queries):
    picture, other = post(), post()
    decision = services.accept(suggestion_id=suggestion(picture).pk, actor=picture.uploader)
    services.undo(decision_id=decision.pk, actor=picture.uploader)
    services.accept(suggestion_id=suggestion(other).pk, actor=other.uploader)
    with django_assert_num_queries(1):
        assert [(row.verb, row.actor, row.suggestion.name) for row in decisions_of(picture.pk)] == [
            ("undo", picture.uploader, "long_hair"),
            ("accept", picture.uploader, "long_hair"),
        ]
