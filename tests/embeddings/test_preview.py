"""The dry run says what the gallery would say, and writes nothing."""

from __future__ import annotations

import pytest

from booru_ml.errors import InvalidInput, NotFound
from embeddings import revisions, services
from embeddings.models import Change, Subject, Support
from embeddings.types import SupportRef
from tests.embeddings.factories import Artist, enrolled, post, seen

pytestmark = pytest.mark.django_db


@pytest.fixture
def board():
    """A board with pictures of two characters and of nobody; only ``rin`` is enrolled."""
    draw = Artist(seed=11)
    miku, rin = draw.character(), draw.character()
    enrolled("rin", [draw.picture(rin) for _ in range(4)])
    return {
        "examples": [SupportRef(seen(draw.picture(miku)).pk) for _ in range(4)],
        "miku": {seen(draw.picture(miku)).pk for _ in range(6)},
        "rin": {seen(draw.picture(rin)).pk for _ in range(4)},
        "nobody": {seen(draw.picture()).pk for _ in range(8)},
        "look": miku,
        "draw": draw,
    }


def probabilities(found):
    return {hit.post_id: hit.probability for hit in found.hits}


def test_it_names_the_posts_that_enrolling_would_name_with_the_same_probability(board):
    before = revisions.revision()
    found = services.preview(name="Hatsune Miku", show=board["examples"])
    assert (Subject.objects.count(), Support.objects.count(), revisions.revision()) == (1, 4, before)
    named = {hit.post_id for hit in found.hits if hit.known}
    assert board["miku"] <= named
    assert len(named) == found.count
    assert (found.name, found.examples, found.waiting, found.complete) == ("Hatsune_Miku", 4, 0, True)
    assert found.compared == found.total == 22
    assert not {item.post_id for item in board["examples"]} & {hit.post_id for hit in found.hits}

    services.enrol(name="Hatsune Miku", posts=board["examples"], actor=None)
    said = {
        post_id: next((match for match in matches if match.name == "Hatsune_Miku"), None)
        for post_id, matches in services.rematch([hit.post_id for hit in found.hits]).items()
    }
    for hit in found.hits:
        assert said[hit.post_id].probability == pytest.approx(hit.probability, abs=1e-4)
        assert said[hit.post_id].known == hit.known


def test_its_threshold_is_the_bar_of_the_strangers_that_may_be_named(board, settings):
    settings.BOORU_ML = {**settings.BOORU_ML, "STRANGERS_NAMED": 0.1}
    found = services.preview(name="miku", show=board["examples"])
    assert found.threshold == pytest.approx(0.3)
    assert {hit.known for hit in found.hits if hit.probability >= found.threshold} == {True}


def test_changes_of_a_known_subject_are_tried_without_writing_them(board):
    miku = services.enrol(name="miku", posts=board["examples"], actor=None)
    plain = services.preview(subject_id=miku.pk)
    hit = plain.hits[0]
    changes = Change.objects.count()
    refused = services.preview(subject_id=miku.pk, show_not=[SupportRef(hit.post_id)])
    assert hit.post_id not in probabilities(refused)
    fewer = services.preview(subject_id=miku.pk, without=list(miku.supports.values_list("pk", flat=True)[:3]))
    assert fewer.examples == 1
    assert Change.objects.count() == changes
    assert probabilities(services.preview(name="miku")) == probabilities(plain)


def test_a_disabled_subject_is_tried_as_if_it_were_enabled(board):
    miku = services.enrol(name="miku", posts=board["examples"], actor=None, enabled=False)
    assert not miku.enabled
    assert board["miku"] <= {hit.post_id for hit in services.preview(subject_id=miku.pk).hits if hit.known}


def test_a_merger_is_tried_with_both_ones_pictures(board):
    rin = Subject.objects.get(name="rin")
    miku = services.enrol(name="miku", posts=board["examples"], actor=None)
    found = services.preview(subject_id=rin.pk, merged_id=miku.pk)
    assert found.examples == 8
    assert board["miku"] | board["rin"] <= {hit.post_id for hit in found.hits if hit.known}
    assert miku.supports.count() == 4


def test_faces_are_found_with_their_boxes(board):
    draw, look = board["draw"], board["draw"].character()
    examples = [SupportRef(seen(draw.picture(), faces=[draw.picture(look)]).pk, "face") for _ in range(4)]
    group = seen(draw.picture(), faces=[draw.picture(), draw.picture(look)])
    (hit,) = [hit for hit in services.preview(name="luka", show=examples).hits if hit.post_id == group.pk]
    assert hit.known
    assert hit.face == 1
    assert hit.box.x == pytest.approx(0.5)


def test_artists_are_tried_by_their_style(board):
    draw, hand = board["draw"], board["draw"].character()
    examples = [SupportRef(seen(draw.picture(), style=draw.picture(hand)).pk) for _ in range(4)]
    other = seen(draw.picture(), style=draw.picture(hand))
    found = services.preview(name="someone", category="artist", show=examples)
    assert [hit.post_id for hit in found.hits if hit.known] == [other.pk]


def test_a_large_board_is_looked_at_as_far_as_said(board, monkeypatch):
    monkeypatch.setattr("embeddings.services.dry_run.LOOKED", 5)
    monkeypatch.setattr("embeddings.services.dry_run.BATCH", 2)
    found = services.preview(name="miku", show=board["examples"])
    assert (found.compared, found.total, found.complete) == (5, 22, False)
    assert {hit.post_id for hit in found.hits if hit.known} <= board["miku"]


def test_examples_that_wait_for_their_analysis_are_counted(board):
    found = services.preview(name="miku", show=[*board["examples"], SupportRef(post().pk)])
    assert (found.examples, found.waiting) == (5, 1)
    assert services.preview(name="new", show=[SupportRef(post().pk)]).hits == ()


def test_unusable_wishes_are_refused(board):
    rin = Subject.objects.get(name="rin")
    everything = list(rin.supports.values_list("pk", flat=True))
    for error, wish in [
        (InvalidInput, {"name": "miku"}),
        (InvalidInput, {"name": "a,b", "show": board["examples"]}),
        (InvalidInput, {"name": "miku", "category": "copyright", "show": board["examples"]}),
        (InvalidInput, {"subject_id": rin.pk, "without": everything}),
        (InvalidInput, {"subject_id": rin.pk, "merged_id": rin.pk}),
        (NotFound, {"subject_id": 10**9}),
        (NotFound, {"subject_id": rin.pk, "merged_id": 10**9}),
        (NotFound, {"name": "miku", "show": [SupportRef(10**9)]}),
    ]:
        with pytest.raises(error):
            services.preview(**wish)
