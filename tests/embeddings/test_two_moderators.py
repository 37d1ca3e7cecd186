"""Two people who change the gallery at the same moment: each change is written down as it really was."""

from __future__ import annotations

from collections.abc import Callable
from threading import Barrier, Thread
from typing import Any

import pytest
from django.db import connection

from booru_ml.errors import BooruError, StaleState
from embeddings import services
from embeddings.edits import look
from embeddings.models import Change, Subject, Support
from embeddings.types import SupportRef
from tests.embeddings.factories import Artist, enrolled, post

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def row_locks(transactional_db: None) -> None:
    if connection.vendor != "postgresql":
        pytest.skip("needs row locks")


def at_once(*verbs: Callable[[], Any]) -> list[Any]:
    """What each verb returned or raised."""
    outcomes: list[Any] = [None] * len(verbs)
    start = Barrier(len(verbs))

    def run(number: int) -> None:
        start.wait(10)
        try:
            outcomes[number] = verbs[number]()
        except BooruError as error:
            outcomes[number] = error
        finally:
            connection.close()

    threads = [Thread(target=run, args=[number]) for number in range(len(verbs))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    return outcomes


def test_of_two_who_take_the_same_change_back_one_wins():
    miku = enrolled("miku", [Artist().character()])
    services.rename(subject_id=miku.pk, name="luka")
    change = Change.objects.first()
    outcomes = at_once(*[lambda: services.undo(change_id=change.pk, actor=None)] * 2)
    assert sorted(type(item) for item in outcomes if isinstance(item, StaleState)) == [StaleState]
    assert Subject.objects.get(pk=miku.pk).name == "miku"


def test_changes_at_once_do_not_enter_each_others_history():
    miku = enrolled("miku", [Artist(n).character() for n in range(3)])
    before = look([miku.pk])
    added, removed = post(), miku.supports.first()
    at_once(
        lambda: services.add_support(subject_id=miku.pk, posts=[SupportRef(added.pk)], actor=None),
        lambda: services.remove_support(support_id=removed.pk, actor=None),
        lambda: services.rename(subject_id=miku.pk, name="luka", actor=None),
    )
    changes = list(Change.objects.order_by("-id")[:3])
    assert {item.verb for item in changes} == {"add_support", "remove_support", "change"}
    assert [len(item.delta.get("supports", [])) + len(item.delta.get("subjects", [])) for item in changes] == [1, 1, 1]
    assert len({item.revision for item in changes}) == 3
    at_once(*[lambda key=item.pk: services.undo(change_id=key, actor=None) for item in changes])
    assert look([miku.pk]) == before


def test_two_who_merge_both_ways_end_with_one_subject():
    miku = enrolled("miku", [Artist(n).character() for n in range(2)])
    rin = enrolled("rin", [Artist(n).character() for n in range(2, 4)])
    outcomes = at_once(
        lambda: services.merge(subject_id=miku.pk, into_id=rin.pk, actor=None),
        lambda: services.merge(subject_id=rin.pk, into_id=miku.pk, actor=None),
    )
    assert sum(isinstance(item, BooruError) for item in outcomes) == 1
    assert Subject.objects.count() == 1
    assert Support.objects.filter(subject=Subject.objects.get()).count() == 4
