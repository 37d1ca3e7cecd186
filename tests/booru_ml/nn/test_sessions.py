"""Which runtime serves a checkpoint, and what a full GPU means."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from booru_ml.checkpoint import Checkpoint
from booru_ml.conf import CHECKPOINTS
from booru_ml.errors import BooruError, CheckpointError
from booru_ml.nn import sessions
from booru_ml.nn.engine import Engine
from booru_ml.nn.sessions import open_session


@pytest.fixture(scope="module")
def checkpoint() -> Checkpoint:
    return Checkpoint.load(CHECKPOINTS / "nsfwjs")


def test_on_a_cpu_the_graph_is_preferred(checkpoint: Checkpoint) -> None:
    assert open_session(checkpoint, device="cpu").runtime == "onnx"


def test_without_torch_the_graph_serves(checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sessions, "torch_installed", lambda: False)
    assert open_session(checkpoint).runtime == "onnx"
    with pytest.raises(CheckpointError, match=r"booru-ml\[gpu\]"):
        open_session(checkpoint, runtime="torch")


def test_an_unknown_runtime_is_named(checkpoint: Checkpoint) -> None:
    with pytest.raises(BooruError, match="auto, onnx or torch"):
        open_session(checkpoint, runtime="tea leaves")


@pytest.mark.torch
@pytest.mark.parametrize(("there", "said"), [(0, "sees no CUDA device"), (1, r"sees 1 CUDA device\(s\)")])
def test_a_gpu_that_is_not_there_is_named(
    checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch, there: int, said: str
) -> None:
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: there > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: there)
    with pytest.raises(BooruError, match=said):
        open_session(checkpoint, device="cuda:1")


def test_an_engine_needs_a_checkpoint() -> None:
    with pytest.raises(CheckpointError, match="BOORU_ML"):
        Engine([])


def test_an_engine_without_an_embedding_still_scores(checkpoint: Checkpoint) -> None:
    from tests.contracts import frames

    engine = Engine([checkpoint], device="cpu")
    (finding,) = engine.infer([frames.picture(frames.ramp(20, 20))])
    assert finding.embedding.shape == (0,)
    assert finding.embedding_model == ""
    assert "rating" in finding.scores
    with pytest.raises(CheckpointError, match="embedding head"):
        engine.embed([frames.ramp(5, 5)])


@pytest.mark.torch
@pytest.mark.parametrize("room", [1, 2, 3])
def test_a_batch_that_does_not_fit_is_halved(
    checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch, room: int
) -> None:
    session, asked = _session_with_room(checkpoint, monkeypatch, room)
    batch = np.random.default_rng(0).random((7, 3, 224, 224), np.float32)
    whole = open_session(checkpoint, runtime="torch", device="cpu").run(batch)
    halved = session.run(batch)
    assert max(asked) == 7
    assert asked.count(7) == 1
    for name, values in whole.items():
        np.testing.assert_allclose(halved[name], values, atol=1e-5)


@pytest.mark.torch
def test_one_picture_that_does_not_fit_is_an_error(checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    session, _ = _session_with_room(checkpoint, monkeypatch, 0)
    with pytest.raises(torch.OutOfMemoryError):
        session.run(np.zeros((2, 3, 224, 224), np.float32))


def _session_with_room(checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch, room: int) -> tuple[Any, list[int]]:
    """A torch session whose device takes at most ``room`` rows."""
    import torch

    session: Any = open_session(checkpoint, runtime="torch", device="cpu")
    real, asked = session._run, []

    def run(batch: np.ndarray, only: object) -> Any:
        asked.append(len(batch))
        if len(batch) > room:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return real(batch, only)

    monkeypatch.setattr(session, "_run", run)
    return session, asked
