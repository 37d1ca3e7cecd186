"""A process that stands back does so beside other sessions, too, and so do the decoders that it starts."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from booru_ml.niceness import stand_back
from booru_ml.pipeline.images import DecoderPool
from tests.booru_ml.images.test_guard import LIMITS, children, works

SWITCH = Path("/proc/sys/kernel/sched_autogroup_enabled")
pytestmark = pytest.mark.skipif(
    not SWITCH.exists() or SWITCH.read_text().strip() != "1", reason="the kernel does not share cores out by sessions"
)
_context = multiprocessing.get_context("fork")


def of_session(pid: int | str) -> int | None:
    """How nice the session of a process is; none where it began before cores were shared out by sessions."""
    said = Path(f"/proc/{pid}/autogroup").read_text().split()
    return int(said[-1]) if said else None


def beside(what: Callable[[Any], None]) -> Any:
    """What a process of its own answers."""
    ours, theirs = _context.Pipe()
    process = _context.Process(target=what, args=(theirs,))
    process.start()
    assert ours.poll(60)
    answer = ours.recv()
    process.join(30)
    assert process.exitcode == 0
    return answer


def leader(pipe: Any) -> None:
    os.setsid()
    stand_back()
    pipe.send((os.nice(0), of_session("self")))


def guest(pipe: Any) -> None:
    before = of_session("self")
    stand_back()
    pipe.send((os.nice(0), of_session("self") == before))


def nice_parent(pipe: Any) -> None:
    os.nice(7)
    with DecoderPool(workers=1, limits=LIMITS) as decoders:
        assert works(decoders)
        pipe.send({pid: of_session(pid) for pid in children()})


def test_a_service_stands_back_with_its_session() -> None:
    assert beside(leader) == (19, 19)


def test_a_session_of_others_is_left_as_it_is() -> None:
    assert beside(guest) == (19, True)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may look into decoders")
def test_decoders_are_as_nice_as_who_starts_them() -> None:
    found = beside(nice_parent)
    assert found
    assert set(found.values()) == {7}
