"""Which route a probe chooses, what it refuses, and that it measures once."""

from __future__ import annotations

import multiprocessing
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from booru_ml.checkpoint import Checkpoint
from booru_ml.conf import CHECKPOINTS
from booru_ml.errors import CheckpointError
from booru_ml.nn import verification
from booru_ml.nn.routes import ROUTES, open_session, probe
from booru_ml.nn.routes.arms import Arm, arms, interleave
from booru_ml.nn.routes.choices import Choice, Choices, Place
from booru_ml.nn.routes.probe import Settings

NAMES = ("onnx", "openvino", "openvino-bf16", "torch")


@pytest.fixture(scope="module")
def checkpoint() -> Checkpoint:
    return Checkpoint.load(CHECKPOINTS / "nsfwjs")


class FakeArm:
    """A route in this process: so many milliseconds a picture, answers off by so much."""

    rss_mib = 100.0

    def __init__(self, route: str, milliseconds: float, off: float, outputs: dict[str, np.ndarray]) -> None:
        self.route, self.milliseconds, self.outputs, self.off = route, milliseconds, outputs, off

    def see(self, fitted: list[np.ndarray]) -> dict[str, np.ndarray]:
        if self.off == np.inf:
            raise CheckpointError("illegal instruction")
        return {name: values + np.float32(self.off) for name, values in self.outputs.items()}

    def seconds(self, batch_size: int) -> float:
        return self.milliseconds * batch_size / 1000

    def close(self) -> None: ...


@pytest.fixture
def machine(checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A machine whose routes are as given: milliseconds a picture, and how far off."""
    session = open_session(checkpoint, runtime="onnx")
    outputs = session.see([probe.fit(frame, checkpoint.preprocess) for frame in probe.patterns()])

    def made(**said: tuple[float, float]) -> None:
        table = {name.replace("_", "-"): value for name, value in said.items()}
        monkeypatch.setattr(probe, "available", lambda *_, **__: [ROUTES[name] for name in table])
        monkeypatch.setattr(
            "booru_ml.nn.routes.arms.Arm",
            lambda _, route, **__: FakeArm(route, *table[route], outputs),
        )

    return made


def measured(checkpoint: Checkpoint, **settings: Any) -> Choice:
    return probe.measure(checkpoint, Settings(device="cpu", seconds=0, **settings), device="cpu")


def test_the_fastest_route_is_chosen(checkpoint: Checkpoint, machine: Any) -> None:
    machine(onnx=(14, 0), openvino=(9, 1e-5), torch=(30, 1e-5))
    choice = measured(checkpoint)
    assert choice.route == "openvino"
    assert choice.milliseconds == pytest.approx({"onnx": 14, "openvino": 9, "torch": 30})


def test_a_fast_route_that_answers_otherwise_is_refused(checkpoint: Checkpoint, machine: Any) -> None:
    machine(onnx=(14, 0), openvino_bf16=(2, 5e-3))
    choice = measured(checkpoint)
    assert choice.route == "onnx"
    assert "off by 5.0e-03" in choice.refused["openvino-bf16"]
    assert "openvino-bf16" not in choice.milliseconds
    assert measured(checkpoint, tolerance=1e-2).route == "openvino-bf16"


def test_bfloat16_serves_checkpoints_that_answer_as_well_in_it(checkpoint: Checkpoint, machine: Any) -> None:
    checkpoint = replace(checkpoint, precision="bfloat16")
    machine(onnx=(14, 0), openvino=(1, 5e-3), openvino_bf16=(2, 5e-3))
    choice = measured(checkpoint)
    assert choice.route == "openvino-bf16"
    assert set(choice.refused) == {"openvino"}
    assert measured(checkpoint, tolerance=1e-3).route == "onnx"


def test_bfloat16_that_is_multiplied_wrongly_is_refused(checkpoint: Checkpoint, machine: Any) -> None:
    machine(onnx=(14, 0), openvino_bf16=(2, 0.3))
    checkpoint = replace(checkpoint, precision="bfloat16")
    assert measured(checkpoint).route == "onnx"


def test_what_was_measured_for_one_precision_is_not_taken_for_another(checkpoint: Checkpoint) -> None:
    here = {"device": "cpu", "threads": 1, "batch_size": 16}
    less = replace(checkpoint, precision="bfloat16")
    assert Place.here(checkpoint, **here).key != Place.here(less, **here).key


@pytest.mark.parametrize("broken", [np.inf, np.nan])
def test_a_route_that_fails_or_gives_no_numbers_is_refused(checkpoint: Checkpoint, machine: Any, broken: float) -> None:
    machine(onnx=(14, 0), openvino=(1, broken))
    assert measured(checkpoint).route == "onnx"


def test_a_gain_within_the_noise_changes_nothing(checkpoint: Checkpoint, machine: Any) -> None:
    machine(onnx=(14, 0), openvino=(13.5, 0))
    assert measured(checkpoint).route == "onnx"


def test_the_usual_route_must_work(checkpoint: Checkpoint, machine: Any) -> None:
    machine(onnx=(14, np.inf), openvino=(9, 0))
    with pytest.raises(CheckpointError, match="illegal instruction"):
        measured(checkpoint)


def test_a_machine_that_lacks_what_a_checkpoint_needs_says_so(
    checkpoint: Checkpoint, machine: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine(onnx=(14, np.inf))  # stands for a package that is not installed, as its process would say
    monkeypatch.setattr(probe, "available", lambda *_, **__: [])
    with pytest.raises(CheckpointError, match="illegal instruction"):
        measured(checkpoint)


def test_a_route_good_at_full_batches_alone_does_not_win(
    checkpoint: Checkpoint, machine: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine(onnx=(10, 0), torch=(10, 0))
    times = {("onnx", 1): 10, ("onnx", 16): 10, ("torch", 1): 80, ("torch", 16): 8}
    monkeypatch.setattr(FakeArm, "seconds", lambda self, size: times[self.route, size] * size / 1000)
    assert measured(checkpoint).route == "onnx"


@pytest.mark.torch
def test_bfloat16_changes_the_shipped_checkpoints_answers(checkpoint: Checkpoint) -> None:
    """Why bfloat16 serves only where its answers were measured, and is usual nowhere, not even on a GPU."""
    fitted = [probe.fit(probe.patterns()[1], checkpoint.preprocess)]
    exact, half = (open_session(checkpoint, runtime=name, device="cpu").see(fitted) for name in ("onnx", "torch-bf16"))
    assert max(verification.distances(checkpoint, half, exact).values()) > probe.TOLERANCE


@pytest.mark.parametrize(("centre", "counts"), [(-20, False), (3, True)])
def test_sizes_count_where_something_is(centre: float, counts: bool) -> None:
    checkpoint = Checkpoint.load(CHECKPOINTS / "booru-lite")
    maps = np.full((1, 3, 4, 4), centre, np.float32)
    same = {name: np.zeros((1, head.dim or len(head.labels)), np.float32) for name, head in checkpoint.heads.items()}
    one, other = ({**same, "faces": maps + np.float32([[[[0]], [[off]], [[0]]]])} for off in (0.0, 0.2))
    assert (verification.distances(checkpoint, one, other)["faces"] > probe.TOLERANCE) is counts


def _probe(folder: Path, log: Path) -> None:
    def measure(*_: Any, **__: Any) -> Choice:
        with log.open("a") as file:
            file.write(f"{os.getpid()}\n")
        return Choice(route="onnx")

    probe.measure = measure
    probe.probe(Checkpoint.load(CHECKPOINTS / "nsfwjs"), Choices(folder), Settings(device="cpu"))


def test_processes_that_ask_at_once_measure_once(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    several = [context.Process(target=_probe, args=(tmp_path, tmp_path / "log")) for _ in range(4)]
    for process in several:
        process.start()
    for process in several:
        process.join(30)
    assert [process.exitcode for process in several] == [0] * 4
    assert len((tmp_path / "log").read_text().split()) == 1


def test_routes_run_in_processes_of_their_own(checkpoint: Checkpoint) -> None:
    frames = [np.full((224, 224, 3), 90, np.uint8)]
    with arms(checkpoint, ["onnx"], device="cpu", threads=1) as running:
        apart = verification.distances(checkpoint, running[0].see(frames), open_session(checkpoint).see(frames))
        assert max(apart.values()) < 1e-5
        spent = interleave(running, (1, 2), seconds=0)
        assert set(spent) == {("onnx", 1), ("onnx", 2)}
        assert 30 < running[0].rss_mib < 250
        running[0]._process.kill()
        with pytest.raises(CheckpointError, match="its process ended"):
            running[0].see(frames)


def test_what_a_route_lacks_is_said_by_its_process(checkpoint: Checkpoint, tmp_path: Path) -> None:
    arm = Arm(replace(checkpoint, path=tmp_path), "onnx", device="cpu", threads=1)
    with pytest.raises(CheckpointError, match="booru_model export"):
        arm.see([])
    arm.close()
