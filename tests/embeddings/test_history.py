"""Every verb on the gallery leaves a row in the history, and taking it back restores exactly what was there."""

from __future__ import annotations

import pytest

from booru_ml.errors import InvalidInput, NotFound, StaleState
from embeddings import revisions, services
from embeddings.edits import look
from embeddings.models import Change, Subject, Support
from embeddings.types import SupportRef
from tests.embeddings.factories import Artist, enrolled, post, seen
from tests.people import user

pytestmark = pytest.mark.django_db


@pytest.fixture
def pair():
    """Two characters; one picture is known to both, shown by one and "not it" for the other."""
    miku = enrolled("miku", [Artist(n).character() for n in range(3)])
    rin = enrolled("rin", [Artist(n).character() for n in range(3, 6)])
    shared = rin.supports.first().post
    services.add_support(subject_id=miku.pk, posts=[SupportRef(shared.pk)], positive=False, actor=user())
    return miku, rin


def everything() -> dict:
    return look(Subject.objects.values_list("pk", flat=True))


def newest() -> Change:
    return Change.objects.first()


VERBS = {
    "enrol": lambda miku, rin: services.enrol(name="luka", posts=[SupportRef(post().pk)], actor=None),
    "add_support": lambda miku, rin: services.add_support(
        subject_id=miku.pk, posts=[SupportRef(post().pk), SupportRef(miku.supports.first().post_id)], actor=user()
    ),
    "other sign": lambda miku, rin: services.add_support(
        subject_id=miku.pk,
        posts=[SupportRef(miku.supports.filter(positive=True).last().post_id)],
        positive=False,
        actor=user(),
    ),
    "remove_support": lambda miku, rin: services.remove_support(support_id=miku.supports.first().pk, actor=None),
    "rename": lambda miku, rin: services.change(subject_id=miku.pk, name="luka", actor=None),
    "disable": lambda miku, rin: services.set_enabled(subject_id=miku.pk, enabled=False, actor=None),
    "merge": lambda miku, rin: services.merge(subject_id=rin.pk, into_id=miku.pk, actor=None),
    "merge the other way": lambda miku, rin: services.merge(subject_id=miku.pk, into_id=rin.pk, actor=None),
    "split": lambda miku, rin: services.split(
        subject_id=miku.pk, support_ids=[miku.supports.filter(positive=True).first().pk], name="luka", actor=None
    ),
    "withdraw": lambda miku, rin: services.withdraw(subject_id=miku.pk, actor=None),
    "learn": lambda miku, rin: services.learn(
        post_id=post().pk, name="miku", category="character", positive=True, actor=None, weight=0.4
    ),
}


@pytest.mark.parametrize("verb", VERBS)
def test_undo_restores_what_was_there_and_undoing_that_brings_the_change_back(pair, verb):
    before = everything()
    VERBS[verb](*pair)
    after, change, raised = everything(), newest(), revisions.revision()
    assert after != before
    assert change.revision == raised[0]
    actor = user()
    undone = services.undo(change_id=change.pk, actor=actor)
    assert everything() == before
    assert (undone.verb, undone.actor, undone.undoes) == ("undo", actor, change)
    assert revisions.revision() != raised
    services.undo(change_id=undone.pk, actor=actor)
    assert everything() == after


def test_a_change_is_taken_back_once(pair):
    services.change(subject_id=pair[0].pk, name="luka", actor=None)
    change, first = newest(), user()
    services.undo(change_id=change.pk, actor=first)
    with pytest.raises(StaleState, match=first.username):
        services.undo(change_id=change.pk, actor=user())
    with pytest.raises(NotFound):
        services.undo(change_id=10**9, actor=None)


LATER = {
    "renamed again": (
        lambda miku, rin: services.change(subject_id=miku.pk, name="luka"),
        lambda miku, rin: services.change(subject_id=miku.pk, name="meiko"),
        "“luka” was changed",
    ),
    "the name was given away": (
        lambda miku, rin: services.change(subject_id=miku.pk, name="luka"),
        lambda miku, rin: services.change(subject_id=rin.pk, name="miku"),
        "given to another",
    ),
    "the name was given away in another case": (
        lambda miku, rin: services.change(subject_id=miku.pk, name="luka"),
        lambda miku, rin: services.enrol(name="Miku", posts=[SupportRef(post().pk)], actor=None),
        "given to another",
    ),
    "the name of one withdrawn was given away in another case": (
        VERBS["withdraw"],
        lambda miku, rin: services.change(subject_id=rin.pk, name="MIKU"),
        "given to another",
    ),
    "the picture came back": (
        lambda miku, rin: services.remove_support(support_id=miku.supports.last().pk),
        lambda miku, rin: services.add_support(
            subject_id=miku.pk,
            posts=[SupportRef(Change.objects.first().delta["supports"][0][0]["post_id"])],
            actor=None,
        ),
        "added again",
    ),
    "more pictures since": (
        VERBS["split"],
        lambda miku, rin: services.add_support(
            subject_id=Subject.objects.get(name="luka").pk, posts=[SupportRef(post().pk)], actor=None
        ),
        "further pictures",
    ),
    "its home was withdrawn": (
        lambda miku, rin: services.remove_support(support_id=miku.supports.last().pk),
        lambda miku, rin: services.withdraw(subject_id=miku.pk),
        "withdrawn since",
    ),
    "the picture was moved on": (
        VERBS["merge"],
        lambda miku, rin: services.remove_support(support_id=miku.supports.filter(positive=True).last().pk),
        "removed since",
    ),
}


@pytest.mark.parametrize("case", LATER)
def test_a_later_change_that_stands_in_the_way_is_named_and_nothing_is_half_undone(pair, case):
    verb, later, sentence = LATER[case]
    verb(*pair)
    change = newest()
    later(*pair)
    before = everything()
    with pytest.raises(StaleState, match=sentence):
        services.undo(change_id=change.pk, actor=None)
    assert everything() == before
    services.undo(change_id=newest().pk, actor=None)
    services.undo(change_id=change.pk, actor=None)


def test_what_left_the_board_stays_gone(pair):
    miku, _ = pair
    lost = miku.supports.filter(positive=True).first()
    services.withdraw(subject_id=miku.pk)
    change, actor = newest(), lost.added_by
    lost.post.delete()
    if actor:
        actor.delete()
    services.undo(change_id=change.pk, actor=None)
    assert not Support.objects.filter(pk=lost.pk).exists()
    assert Subject.objects.get(pk=miku.pk).supports.count() == 3


def test_who_left_the_board_is_no_obstacle():
    actor, shown = user(), post()
    miku = services.enrol(name="miku", posts=[SupportRef(shown.pk)], actor=actor)
    enrolment = newest()
    services.withdraw(subject_id=miku.pk, actor=actor)
    withdrawal = newest()
    actor.delete()
    services.undo(change_id=withdrawal.pk, actor=None)
    assert miku.supports.get().added_by is None
    services.undo(change_id=enrolment.pk, actor=None)
    assert not Subject.objects.exists()


def test_what_changes_nothing_leaves_no_trace(pair):
    miku, _ = pair
    count = Change.objects.count()
    services.change(subject_id=miku.pk, name="miku", actor=None)
    services.add_support(
        subject_id=miku.pk, posts=[SupportRef(miku.supports.filter(positive=True).last().post_id)], actor=None
    )
    assert Change.objects.count() == count


def test_merging_keeps_every_picture_once_and_showing_wins(pair):
    miku, rin = pair
    shown = {row.post_id for row in Support.objects.filter(positive=True)}
    services.merge(subject_id=rin.pk, into_id=miku.pk, actor=None)
    assert not Subject.objects.filter(pk=rin.pk).exists()
    assert {row.post_id for row in miku.supports.filter(positive=True)} == shown
    assert not miku.supports.filter(positive=False).exists()


def test_unusable_mergers_and_splits_are_refused(pair):
    miku, rin = pair
    someone = services.enrol(
        name="someone", category="artist", posts=[SupportRef(seen(Artist().character()).pk)], actor=None
    )
    before = everything()
    shown = list(miku.supports.filter(positive=True).values_list("pk", flat=True))
    refused = [
        (InvalidInput, lambda: services.merge(subject_id=miku.pk, into_id=miku.pk, actor=None)),
        (InvalidInput, lambda: services.merge(subject_id=miku.pk, into_id=someone.pk, actor=None)),
        (NotFound, lambda: services.merge(subject_id=miku.pk, into_id=10**9, actor=None)),
        (InvalidInput, lambda: services.split(subject_id=miku.pk, support_ids=[], name="luka", actor=None)),
        (InvalidInput, lambda: services.split(subject_id=miku.pk, support_ids=shown, name="luka", actor=None)),
        (InvalidInput, lambda: services.split(subject_id=miku.pk, support_ids=shown[:1], name="a,b", actor=None)),
        (StaleState, lambda: services.split(subject_id=miku.pk, support_ids=shown[:1], name="rin", actor=None)),
        (
            StaleState,
            lambda: services.split(subject_id=miku.pk, support_ids=[rin.supports.first().pk], name="luka", actor=None),
        ),
    ]
    for error, verb in refused:
        with pytest.raises(error):
            verb()
    assert everything() == before
