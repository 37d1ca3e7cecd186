import pytest

from booru_ml.types import Rating
from embeddings.models import Vector
from embeddings.store import encode
from moderation import selectors, services
from moderation.models import Case
from tests.people import user

from .findings import PHOTO, analysis, unit


def test_views_keep_the_order_of_the_cases_they_were_made_of(case) -> None:
    cases = [case(), case(PHOTO), case()]
    assert [item.case_id for item in selectors.items(reversed(cases))] == [made.pk for made in reversed(cases)]
    assert selectors.items([]) == ()


def test_ratings_are_probabilities_with_the_posts_own_marked(case) -> None:
    view = selectors.item(case({"rating": {"g": 0.1, "s": 0.2, "q": 0.6, "e": 0.1}}, rating="s").pk)
    assert sum(share.share for share in view.ratings) == pytest.approx(1)
    assert [share.rating for share in view.ratings if share.rated] == [Rating.SENSITIVE]
    assert view.predicted is not None
    assert view.predicted.rating is Rating.QUESTIONABLE


def test_only_faces_of_the_newest_analysis_are_shown(case) -> None:
    made = case()
    box = {"x": 0.1, "y": 0.1, "width": 0.2, "height": 0.2, "score": 0.8}
    for model in ("old@1", "new@2"):
        for number in (0, 1):
            Vector.objects.create(
                post_id=made.post_id, kind="face", number=number, model_version=model, data=encode(unit(1)), box=box
            )
    assert [face.number for face in selectors.item(made.pk).faces] == [0, 1]


def test_neighbours_that_left_the_board_are_left_out(case, triage) -> None:
    made, twin = case(), case()
    triage([analysis(made.post_id, seed=1), analysis(twin.post_id, seed=1)])
    assert [near.post.id for near in selectors.item(made.pk).neighbours] == [twin.post_id]
    twin.post.delete()
    assert selectors.item(made.pk).neighbours == ()


def test_a_case_written_by_another_version_is_still_shown(case) -> None:
    made = case(PHOTO)
    for stored in ({}, {"scores": {}, "near": [{"id": 3}, {"post": "x", "similarity": "y"}, {"post": "\x01"}]}):
        Case.objects.filter(pk=made.pk).update(analysis=stored)
        view = selectors.item(made.pk)
        assert (view.ratings, view.neighbours, view.width) == ((), (), 0)
    made.post.booru_flags.update(detail={})
    assert selectors.item(made.pk).flags[0].sentence


def test_uploaders_of_another_kind_are_shown_by_their_id(case, settings) -> None:
    made = case()
    assert selectors.item(made.pk).uploader == "uploader"
    fields = {name: field for name, field in settings.BOORU_ML["FIELDS"].items() if name != "uploader"}
    settings.BOORU_ML = {**settings.BOORU_ML, "FIELDS": fields}
    assert selectors.item(made.pk).uploader == ""


def test_counts_are_of_open_cases_by_reason_and_of_all_by_state(case, moderator) -> None:
    case(PHOTO)
    done, held = case(PHOTO), case()
    services.approve(case_id=done.pk, actor=moderator)
    services.claim(case_id=held.pk, actor=moderator)
    counts = selectors.counts(user_id=moderator.pk)
    assert counts.states == {"open": 2, "approved": 1, "rejected": 0}
    assert counts.reasons["not_drawn"] == 1
    assert (counts.mine, selectors.counts(user_id=user().pk).mine) == (1, 0)
