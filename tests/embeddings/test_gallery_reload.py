"""Only whom a change touched is read again, and the gallery is what it would be if everybody were."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.db import transaction
from hypothesis import HealthCheck, Phase, given, note, settings
from hypothesis import strategies as st

from embeddings import gallery, members, revisions, services
from embeddings.gallery import Room
from embeddings.models import Change, Touched
from embeddings.types import SupportRef
from tests.embeddings.factories import VERSION, Artist, analysis, enrolled, finding, seen
from tests.embeddings.happenings import KINDS, SEEN, TOLD, UNTOLD, Board, look

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("looks_every_time")]


@pytest.fixture
def reads(monkeypatch) -> Callable[[], list[set[int] | None]]:
    """Asks for the gallery once more and tells whom each reading was about; None: everybody."""
    found: list[set[int] | None] = []
    room, read = Room(), members.read

    def noted(*args: Any, only: set[int] | None, **others: Any) -> Any:
        found.append(only)
        return read(*args, only=only, **others)

    def again() -> list[set[int] | None]:
        found.clear()
        room.snapshot(VERSION, "picture")
        return list(found)

    monkeypatch.setattr(members, "read", noted)
    return again


steps = st.tuples(st.sampled_from(TOLD + TOLD + SEEN + UNTOLD), st.integers(0, 99), st.sampled_from((*KINDS, None)))


# An example takes a third of a second, too long to look for the shortest that fails; the note says what happened.
@settings(
    phases=[Phase.generate], max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(happened=st.lists(steps, min_size=6, max_size=14))
def test_whatever_happens_the_gallery_is_what_would_be_read_afresh(monkeypatch, happened):
    monkeypatch.setattr(members, "EXEMPLARS", 3)
    room = Room()
    note(str(happened))
    with transaction.atomic():
        board = Board(room)
        look(room)
        for verb, chance, looked in happened:
            board.chance.seed(chance)
            board.do(verb)
            if looked:
                look(room, looked)
        look(room)
        transaction.set_rollback(True)


def test_only_whom_a_change_touched_is_read_again(reads):
    draw = Artist()
    miku, luka = (enrolled(name, [draw.character() for _ in range(3)]) for name in ("miku", "luka"))
    assert reads() == [None]
    services.add_support(subject_id=luka.pk, posts=[SupportRef(seen(draw.character()).pk)], actor=None)
    assert reads() == [{luka.pk}]
    services.change(subject_id=miku.pk, name="hatsune_miku")
    services.set_enabled(subject_id=luka.pk, enabled=False)
    assert reads() == [{miku.pk, luka.pk}]
    services.undo(change_id=Change.objects.first().pk, actor=None)
    assert reads() == [{luka.pk}]
    shown = miku.supports.first().post
    services.remember([analysis(shown, finding(draw.character()))])
    assert reads() == [{miku.pk}]
    shown.delete()  # no service told of it
    assert reads() == [{miku.pk}]
    services.merge(subject_id=miku.pk, into_id=luka.pk, actor=None)
    assert reads() == [{miku.pk, luka.pk}]
    assert reads() == []


def test_where_it_is_not_known_whom_a_change_touched_everybody_is_read(reads, monkeypatch):
    draw = Artist()
    miku = enrolled("miku", [draw.character() for _ in range(2)])
    assert reads() == [None]
    revisions.bump()
    assert reads() == [None]
    with transaction.atomic():
        services.change(subject_id=miku.pk, name="luka")
        assert reads() == [{miku.pk}]
        transaction.set_rollback(True)
    assert reads() == [None]
    revisions.bump([])
    Touched.objects.all().delete()
    assert reads() == [None]
    monkeypatch.setattr(gallery, "FEW", 0)
    services.change(subject_id=miku.pk, name="rin")
    assert reads() == [None]
    monkeypatch.setattr(gallery, "FEW", 1)
    monkeypatch.setattr(gallery, "WHOLE_SECONDS", 0.0)
    services.change(subject_id=miku.pk, name="len")
    assert reads() == [None]


def test_what_was_touched_is_let_go_in_time(monkeypatch):
    monkeypatch.setattr(revisions, "KEPT", 3)
    monkeypatch.setattr(revisions, "TIDIED", 2)
    for number in range(8):
        revisions.bump([number])
    assert sorted(Touched.objects.values_list("revision", flat=True)) == [5, 6, 7, 8]


def test_vectors_of_another_length_rule_the_space_as_if_all_were_read_afresh():
    room, draw = Room(), Artist()
    shown = seen(draw.character())
    miku = services.enrol(name="miku", posts=[SupportRef(shown.pk)], actor=None)
    enrolled("luka", [draw.character()])
    look(room)
    short = [draw.character()[:32] for _ in range(4)]
    services.add_support(subject_id=miku.pk, posts=[SupportRef(seen(one).pk) for one in short], actor=None)
    look(room)
