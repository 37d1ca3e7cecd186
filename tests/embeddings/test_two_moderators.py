"""Two people who change the gallery at the same moment: each change is written down as it really was."""

from __future__ import annotations

from functools import partial
from threading import Event
from time import sleep

import pytest
from django.db import connection

from booru_ml.errors import BooruError, StaleState
from embeddings import services
from embeddings.edits import look
from embeddings.models import Change, Subject, Support
from embeddings.services import subjects
from embeddings.types import SupportRef
from tests.embeddings.factories import Artist, enrolled, post
from tests.threads import together

LESSON = {"positive": True, "actor": None}

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def row_locks(transactional_db: None) -> None:
    if connection.vendor != "postgresql":
        pytest.skip("needs row locks")


def test_of_two_who_take_the_same_change_back_one_wins():
    miku = enrolled("miku", [Artist().character()])
    services.change(subject_id=miku.pk, name="luka")
    change = Change.objects.first()
    outcomes = together(*[lambda: services.undo(change_id=change.pk, actor=None)] * 2)
    assert sorted(type(item) for item in outcomes if isinstance(item, StaleState)) == [StaleState]
    assert Subject.objects.get(pk=miku.pk).name == "miku"


def test_changes_at_once_do_not_enter_each_others_history():
    miku = enrolled("miku", [Artist(n).character() for n in range(3)])
    before = look([miku.pk])
    added, removed = post(), miku.supports.first()
    together(
        lambda: services.add_support(subject_id=miku.pk, posts=[SupportRef(added.pk)], actor=None),
        lambda: services.remove_support(support_id=removed.pk, actor=None),
        lambda: services.change(subject_id=miku.pk, name="luka", actor=None),
    )
    changes = list(Change.objects.order_by("-id")[:3])
    assert {item.verb for item in changes} == {"add_support", "remove_support", "change"}
    assert [len(item.delta.get("supports", [])) + len(item.delta.get("subjects", [])) for item in changes] == [1, 1, 1]
    assert len({item.revision for item in changes}) == 3
    together(*[lambda key=item.pk: services.undo(change_id=key, actor=None) for item in changes])
    assert look([miku.pk]) == before


def test_two_who_enrol_one_name_at_once_make_one_subject_of_both_pictures():
    shown = [post() for _ in range(4)]
    names = ["Miku", "miku", "MIKU", "miku"]
    made = together(
        *[
            partial(services.enrol, name=name, posts=[SupportRef(item.pk)], actor=None)
            for name, item in zip(names, shown, strict=True)
        ]
    )
    assert len({item.pk for item in made}) == 1
    assert set(made[0].supports.values_list("post_id", flat=True)) == {item.pk for item in shown}
    assert sorted(Change.objects.values_list("verb", flat=True)) == ["add_support"] * 3 + ["enrol"]


def test_a_decision_that_teaches_waits_for_a_merger_under_way_and_neither_is_lost(monkeypatch):
    """Each would lock what the other needs next, if the gallery's revision were not raised first by everybody."""
    miku = enrolled("miku", [Artist(n).character() for n in range(2)])
    rin = enrolled("rin", [Artist(n).character() for n in range(2, 4)])
    learned = services.learn(post_id=post().pk, name="miku", category="character", positive=True, actor=None)
    shown, under_way = post(), Event()
    find = subjects.find

    def slowly(subject_id):
        under_way.set()
        sleep(0.3)  # the others come as far as they get
        return find(subject_id)

    def later(verb):
        assert under_way.wait(10)
        return verb()

    monkeypatch.setattr(subjects, "find", slowly)
    merged, taught, forgotten = together(
        lambda: services.merge(subject_id=miku.pk, into_id=rin.pk, actor=None),
        lambda: later(partial(services.learn, post_id=shown.pk, name="miku", category="character", **LESSON)),
        lambda: later(partial(services.unlearn, support_id=learned)),
    )
    assert merged.pk == rin.pk
    assert taught is None  # nobody is called so any more
    assert forgotten is True
    assert Support.objects.filter(subject=rin).count() == 4
    assert Support.objects.count() == 4


def test_two_who_merge_both_ways_end_with_one_subject():
    miku = enrolled("miku", [Artist(n).character() for n in range(2)])
    rin = enrolled("rin", [Artist(n).character() for n in range(2, 4)])
    outcomes = together(
        lambda: services.merge(subject_id=miku.pk, into_id=rin.pk, actor=None),
        lambda: services.merge(subject_id=rin.pk, into_id=miku.pk, actor=None),
    )
    assert sum(isinstance(item, BooruError) for item in outcomes) == 1
    assert Subject.objects.count() == 1
    assert Support.objects.filter(subject=Subject.objects.get()).count() == 4
