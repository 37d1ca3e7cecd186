"""Which route serves a checkpoint, and what a full GPU means."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from booru_ml.checkpoint import Checkpoint
from booru_ml.conf import CHECKPOINTS
from booru_ml.errors import BooruError, CheckpointError
from booru_ml.nn import routes
from booru_ml.nn.engine import Engine
from booru_ml.nn.routes import ROUTES, choices_in, machine, open_session
from booru_ml.nn.routes.choices import Choice, Choices, Place
from booru_ml.nn.routes.room import PATIENCE


@pytest.fixture(scope="module")
def checkpoint() -> Checkpoint:
    return Checkpoint.load(CHECKPOINTS / "nsfwjs")


@pytest.fixture
def measured(tmp_path: Path, checkpoint: Checkpoint) -> Any:
    """Choices that say which route is the fastest here."""

    def said(route: str) -> Choices:
        choices = choices_in(tmp_path)
        choices.write(Place.here(checkpoint, device="cpu", threads=1, batch_size=16), Choice(route=route))
        return choices

    return said


def _without(monkeypatch: pytest.MonkeyPatch, *packages: str) -> None:
    monkeypatch.setattr(routes, "find_spec", lambda name: None if name in packages else find_spec(name))


def test_on_a_cpu_the_graph_is_preferred(checkpoint: Checkpoint) -> None:
    assert open_session(checkpoint, device="cpu").route == "onnx"


@pytest.mark.parametrize("runtime", ["onnx", "openvino"])
def test_no_runtime_reports_anything_to_its_publisher(checkpoint: Checkpoint, tmp_path: Path, runtime: str) -> None:
    """What they would report under waits in the user's home: an id of the machine. OpenVINO's thread that sends is the
    only one of Python's that either starts."""
    code = (
        "from booru_ml.checkpoint import Checkpoint; from booru_ml.nn.routes import open_session; import threading;"
        f"open_session(Checkpoint.load({str(checkpoint.path)!r}), device='cpu', runtime={runtime!r}).warm_up();"
        "assert threading.active_count() == 1, threading.enumerate()"
    )
    ours = {"ORT_DISABLE_TELEMETRY", "XDG_CACHE_HOME"}
    environment = {name: value for name, value in os.environ.items() if name not in ours} | {"HOME": str(tmp_path)}
    subprocess.run([sys.executable, "-c", code], check=True, env=environment, timeout=60)
    assert not list(tmp_path.iterdir())


def test_without_torch_the_graph_serves(checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    _without(monkeypatch, "torch")
    assert open_session(checkpoint).route == "onnx"
    with pytest.raises(CheckpointError, match=r"pip install 'booru-ml\[gpu\]'"):
        open_session(checkpoint, runtime="torch")


def test_without_anything_the_way_out_is_named(checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    _without(monkeypatch, "onnxruntime", "torch")
    with pytest.raises(CheckpointError, match=r"booru-ml\[gpu\]"):
        open_session(checkpoint, device="cpu")


@pytest.mark.torch
def test_the_measured_route_serves(checkpoint: Checkpoint, measured: Any) -> None:
    assert (
        open_session(checkpoint, device="cpu", choices=measured("torch-channels-last")).route == "torch-channels-last"
    )


def test_a_measured_route_that_is_gone_gives_way(
    checkpoint: Checkpoint, measured: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    _without(monkeypatch, "openvino")
    assert open_session(checkpoint, device="cpu", choices=measured("openvino")).route == "onnx"
    assert open_session(checkpoint, device="cpu", choices=measured("of an older version")).route == "onnx"


def test_who_did_not_measure_is_told_that_it_may_be_worth_it(
    checkpoint: Checkpoint, measured: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: Any
) -> None:
    caplog.set_level("INFO", "booru_ml.nn.routes")
    open_session(checkpoint, device="cpu", choices=choices_in(tmp_path))
    assert "booru_model probe finds the fastest of onnx, openvino" in caplog.text
    caplog.clear()
    open_session(checkpoint, device="cpu", choices=measured("onnx"))
    _without(monkeypatch, "openvino", "torch")
    open_session(checkpoint, device="cpu", choices=choices_in(tmp_path / "elsewhere"))
    assert not caplog.text


def test_a_route_by_name_wins_over_what_was_measured(checkpoint: Checkpoint, measured: Any) -> None:
    assert open_session(checkpoint, runtime="onnx", device="cpu", choices=measured("torch")).route == "onnx"


def test_an_unknown_runtime_is_named(checkpoint: Checkpoint) -> None:
    with pytest.raises(BooruError, match="auto, onnx, openvino"):
        open_session(checkpoint, runtime="tea leaves")


def test_bfloat16_is_for_processors_that_multiply_it(checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "multiplies_bfloat16", lambda: False)
    assert not any(route.half for route in routes.available(checkpoint, "cpu"))
    assert not any(route.graph for route in routes.available(checkpoint, "cuda:0"))


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


def test_a_forward_on_the_cpu_stays_small(checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    session = open_session(checkpoint, runtime="onnx")
    real, asked = session.run, []

    def run(batch: np.ndarray, **options: Any) -> Any:
        asked.append(len(batch))
        return real(batch, **options)

    monkeypatch.setattr(session, "run", run)
    assert len(session.see(_frames(11))["nsfw"]) == 11
    assert asked == [4, 4, 3]


# GPUs, simulated


def _on_gpu(checkpoint: Checkpoint, device: Any, route: str = "torch-channels-last") -> Any:
    from booru_ml.nn.routes.torch import TorchSession

    return TorchSession(checkpoint, ROUTES[route], device)


def _frames(count: int) -> list[np.ndarray]:
    return list(np.random.default_rng(0).integers(0, 256, (count, 224, 224, 3)).astype(np.uint8))


@pytest.mark.torch
@pytest.mark.parametrize("room", [1, 3])
def test_a_batch_that_does_not_fit_is_halved_and_the_next_is_not_tried(checkpoint: Checkpoint, room: int) -> None:
    from tests.booru_ml.nn.simulated import SimulatedGpu

    device = SimulatedGpu(room)
    session, frames = _on_gpu(checkpoint, device), _frames(7)
    whole = _on_gpu(checkpoint, SimulatedGpu()).see(frames)
    halved = session.see(frames)
    assert device.released == sum(rows > room for rows in device.asked) > 0
    for name, values in whole.items():
        np.testing.assert_allclose(halved[name], values, atol=1e-5)
    device.asked.clear()
    session.see(frames)
    assert max(device.asked) <= room


@pytest.mark.torch
def test_memory_that_comes_back_is_used_again(checkpoint: Checkpoint) -> None:
    from tests.booru_ml.nn.simulated import SimulatedGpu

    device = SimulatedGpu(room=1, rows=2)
    session, frames = _on_gpu(checkpoint, device), _frames(2)
    session.see(frames)
    device.room = None
    session.see([frames[0]] * PATIENCE)
    device.asked.clear()
    session.see(frames)
    assert device.asked == [2]


@pytest.mark.torch
def test_one_picture_that_does_not_fit_is_an_error(checkpoint: Checkpoint) -> None:
    import torch

    from tests.booru_ml.nn.simulated import SimulatedGpu

    with pytest.raises(torch.OutOfMemoryError):
        _on_gpu(checkpoint, SimulatedGpu(room=0)).see(_frames(2))


@pytest.mark.torch
def test_bytes_travel_to_the_gpu_and_closing_gives_its_memory_back(checkpoint: Checkpoint) -> None:
    from tests.booru_ml.nn.simulated import SimulatedGpu

    device = SimulatedGpu()
    session = _on_gpu(checkpoint, device)
    session.warm_up()
    assert device.asked
    session.close()
    assert device.released == 1


@pytest.mark.torch
@pytest.mark.parametrize("channels", ["RGB", "BGR"])
def test_the_device_normalises_as_numpy_does(checkpoint: Checkpoint, channels: str) -> None:
    from dataclasses import replace

    from booru_ml.nn.transforms import normalise
    from tests.booru_ml.nn.simulated import SimulatedGpu

    preprocess = replace(checkpoint.preprocess, channels=channels, mean=(0.1, 0.2, 0.3), std=(0.5, 0.6, 0.7))
    session = _on_gpu(replace(checkpoint, preprocess=preprocess), SimulatedGpu())
    frames = _frames(2)
    by_numpy = session.run(normalise(frames, preprocess))
    for name, values in session.see(frames).items():
        np.testing.assert_allclose(values, by_numpy[name], atol=1e-5)
