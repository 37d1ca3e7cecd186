"""All checkpoints look at a single picture at once, where cores are to spare; at a batch one after the other."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from booru_ml.checkpoint import Checkpoint
from booru_ml.conf import CHECKPOINTS
from booru_ml.nn.engine import Engine
from booru_ml.nn.routes import machine
from tests.contracts import frames


class Watched:
    """A session that tells which thread it ran in. With a barrier, none goes on before all have come."""

    threadsafe = True

    def __init__(self, session: Any, barrier: threading.Barrier | None) -> None:
        self.session, self.barrier, self.threads = session, barrier, []

    def see(self, *args: Any, **wanted: Any) -> Any:
        self.threads.append(threading.get_ident())
        if self.barrier and len(self.threads) == 1:  # the faces come later, alone
            self.barrier.wait(10)
        return self.session.see(*args, **wanted)

    def close(self) -> None:
        self.session.close()


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> Iterator[Engine]:
    monkeypatch.setattr(machine, "cores", lambda: 2)
    engine = Engine([Checkpoint.read(CHECKPOINTS / name) for name in ("booru-lite", "nsfwjs")], runtime="onnx")
    yield engine
    engine.close()


def test_a_single_picture_is_seen_by_all_at_once_and_as_ever(engine: Engine) -> None:
    picture = frames.picture(frames.with_face())
    (before, _) = engine.infer([picture, picture])
    barrier = threading.Barrier(2)
    engine._sessions = [Watched(session, barrier) for session in engine._sessions]
    (found,) = engine.infer([picture])
    np.testing.assert_allclose(found.embedding, before.embedding, atol=1e-4)
    for name, scores in before.scores.items():
        np.testing.assert_allclose(found.scores[name].values, scores.values, atol=1e-4)


def test_a_batch_leaves_the_other_cores_to_others(engine: Engine) -> None:
    engine._sessions = watched = [Watched(session, None) for session in engine._sessions]
    engine.infer([frames.picture(frames.ramp(60, 80))] * 2)
    assert {thread for one in watched for thread in one.threads} == {threading.get_ident()}


def test_nobody_is_pushed_off_the_only_core(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "cores", lambda: 1)
    engine._sessions = watched = [Watched(session, None) for session in engine._sessions]
    engine.infer([frames.picture(frames.ramp(60, 80))])
    assert {thread for one in watched for thread in one.threads} == {threading.get_ident()}
