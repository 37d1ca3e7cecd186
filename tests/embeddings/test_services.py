from __future__ import annotations

import pytest

from booru_ml.errors import InvalidInput, NotFound, StaleState
from embeddings import revisions, services
from embeddings.models import Subject, Support, Vector
from embeddings.services import learning
from embeddings.types import SupportRef
from tests.embeddings.factories import Artist, analysis, enrolled, finding, post, seen
from tests.people import user

pytestmark = pytest.mark.django_db


def test_the_later_job_speaks_for_a_post_that_stands_twice_in_a_batch():
    draw, shown = Artist(), post()
    old, new = draw.character(), draw.character()
    services.remember([analysis(shown, finding(new), job_id=9002), analysis(shown, finding(old), job_id=9001)])
    (kept,) = services.near(vector=new, limit=1)
    assert kept.similarity > 0.99
    assert Vector.objects.count() == 1


def test_enrolling_makes_a_subject_and_again_adds_to_it():
    actor, first, second = user(), post(), post()
    made = services.enrol(name=" hatsune  miku ", posts=[SupportRef(first.pk)], actor=actor)
    again = services.enrol(name="hatsune_miku", posts=[SupportRef(first.pk), SupportRef(second.pk)], actor=None)
    assert made == again
    assert made.name == "hatsune_miku"
    assert made.created_by == actor
    assert set(made.supports.values_list("post_id", flat=True)) == {first.pk, second.pk}


@pytest.mark.parametrize(
    "name",
    ["", "  ", " _ ", "-miku", "~miku", ")x", "a,b", "a*b", "a\x00b", "a\u200bb", "a" * 171, "rating:s", "user:bob"],
)
def test_nobody_is_enrolled_by_a_name_that_could_never_be_suggested(name):
    with pytest.raises(InvalidInput, match=r"^A name is a tag\. ") as refused:
        services.enrol(name=name, posts=[SupportRef(post().pk)], actor=None)
    assert refused.value.extra == {"field": "name"}


@pytest.mark.parametrize(
    ("category", "reference"),
    [
        ("copyright", {}),
        ("character", {"kind": "style"}),
        ("artist", {"kind": "face"}),
        ("character", {"kind": "picture", "number": 1}),
        ("character", {"kind": "face", "number": -1}),
        ("character", {"kind": "face", "number": 3}),
    ],
)
def test_what_cannot_speak_for_a_subject_is_refused(category, reference):
    shown = seen(Artist().character(), faces=[Artist().character()])
    with pytest.raises(InvalidInput):
        services.enrol(name="x", category=category, posts=[SupportRef(shown.pk, **reference)], actor=None)
    assert not Subject.objects.exists()


def test_missing_posts_are_named():
    shown = post()
    with pytest.raises(NotFound, match="404404"):
        services.enrol(name="miku", posts=[SupportRef(shown.pk), SupportRef(404404)], actor=None)
    with pytest.raises(InvalidInput):
        services.enrol(name="miku", posts=[], actor=None)
    assert not Subject.objects.exists()


def test_a_name_that_is_taken_stays_with_its_bearer():
    enrolled("miku", [Artist().character()])
    luka = enrolled("luka", [Artist().character()])
    with pytest.raises(StaleState) as error:
        services.change(subject_id=luka.pk, name="miku")
    assert error.value.code == "name_taken"
    services.change(subject_id=luka.pk, name="luka")
    assert Subject.objects.filter(name="luka").exists()


@pytest.mark.parametrize(
    "verb",
    [
        lambda: services.change(subject_id=404, name="x"),
        lambda: services.set_enabled(subject_id=404, enabled=True),
        lambda: services.withdraw(subject_id=404),
        lambda: services.remove_support(support_id=404),
        lambda: services.add_support(subject_id=404, posts=[], actor=None),
        lambda: services.near(post_id=404),
    ],
)
def test_what_is_gone_is_not_found(verb):
    with pytest.raises(NotFound):
        verb()


def test_a_decision_teaches_once_and_is_taken_back_whole():
    enrolled("miku", [Artist().character()])
    accepted, actor = seen(Artist(1).character()), user()
    before = revisions.revision()
    taught = services.learn(post_id=accepted.pk, name="miku", category="character", positive=True, actor=actor)
    support = Support.objects.get(pk=taught)
    assert (support.learned, support.positive, support.kind, support.added_by) == (True, True, "picture", actor)
    assert services.learn(post_id=accepted.pk, name="miku", category="character", positive=True, actor=actor) is None
    assert services.unlearn(support_id=taught)
    assert not services.unlearn(support_id=taught)
    assert revisions.revision()[0] == before[0] + 2


def test_nobody_is_enrolled_by_a_decision_on_a_tag_that_is_nobody():
    accepted = post()
    assert services.learn(post_id=accepted.pk, name="rin", category="character", positive=True, actor=None) is None
    assert not Subject.objects.exists()


def test_a_decision_overturns_no_enrolment_and_undo_removes_none():
    miku = enrolled("miku", [Artist().character()])
    own = miku.supports.get()
    assert services.learn(post_id=own.post_id, name="miku", category="character", positive=False, actor=None) is None
    assert not services.unlearn(support_id=own.pk)
    own.refresh_from_db()
    assert own.positive


def test_decisions_add_no_more_than_their_share(monkeypatch):
    monkeypatch.setattr(learning, "LEARNED", 2)
    miku = enrolled("miku", [Artist(n).character() for n in range(3)])
    taught = [
        services.learn(post_id=post().pk, name="miku", category="character", positive=True, actor=None)
        for _ in range(4)
    ]
    assert [bool(item) for item in taught] == [True, True, False, False]
    assert services.learn(post_id=post().pk, name="miku", category="character", positive=False, actor=None)
    assert miku.supports.filter(positive=True).count() == 5


def test_an_accepted_face_teaches_that_face():
    draw = Artist()
    enrolled("miku", [draw.character()])
    group = seen(draw.character(), faces=[draw.character(), draw.character()])
    taught = services.learn(post_id=group.pk, name="miku", category="character", positive=True, actor=None, face=1)
    support = Support.objects.get(pk=taught)
    assert (support.kind, support.number) == ("face", 1)
    assert support.box["x"] == pytest.approx(0.5)


def test_an_artist_learns_styles():
    draw = Artist()
    shown = seen(draw.character(), style=draw.character())
    services.enrol(name="someone", category="artist", posts=[SupportRef(shown.pk)], actor=None)
    other = seen(draw.character(), style=draw.character())
    taught = services.learn(post_id=other.pk, name="someone", category="artist", positive=True, actor=None)
    assert Support.objects.get(pk=taught).kind == "style"


def test_an_enrolment_by_hand_wins_over_an_older_rejection():
    miku = enrolled("miku", [Artist().character()])
    shown = seen(Artist(1).character())
    services.learn(post_id=shown.pk, name="miku", category="character", positive=False, actor=None)
    services.add_support(subject_id=miku.pk, posts=[SupportRef(shown.pk)], actor=None)
    support = miku.supports.get(post=shown)
    assert (support.positive, support.learned) == (True, False)


def test_supports_and_subjects_go_with_what_they_hang_on():
    miku = enrolled("miku", [Artist(n).character() for n in range(2)])
    miku.supports.first().post.delete()
    assert miku.supports.count() == 1
    services.withdraw(subject_id=miku.pk)
    assert not Support.objects.exists()
    assert Vector.objects.count() == 1


@pytest.mark.parametrize("name", ["hatsune miku", "éclair blanc", "дива"])
def test_one_tag_is_one_subject_in_whatever_case(name):
    """Two would be rivals of each other, and neither be named."""
    tag = name.replace(" ", "_")
    shown = [SupportRef(post().pk) for _ in range(3)]
    miku = services.enrol(name=name.title(), posts=shown[:1], actor=None)
    assert services.enrol(name=tag, posts=shown[1:2], actor=None) == miku
    assert services.learn(post_id=shown[2].post_id, name=tag, category="character", positive=True, actor=None)
    assert miku.supports.count() == 3
    cafe = services.enrol(name="cafe\u0301", posts=shown[:2], actor=None)
    assert services.enrol(name="caf\u00e9", posts=shown, actor=None) == cafe
    with pytest.raises(StaleState, match=f"is called {tag.upper()} already"):
        services.change(subject_id=cafe.pk, name=name.upper())
    with pytest.raises(StaleState, match=f"is called {tag.capitalize()} already"):
        services.split(subject_id=cafe.pk, support_ids=[cafe.supports.first().pk], name=tag.capitalize(), actor=None)
    assert services.change(subject_id=miku.pk, name=name).name == tag
