"""What the torch routes ask of a device: the CPU, a simulated GPU, and a real one where there is one."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

pytestmark = pytest.mark.torch


def _cpu() -> Any:
    from booru_ml.nn.routes.devices import Cpu

    return Cpu()


def _simulated() -> Any:
    from tests.booru_ml.nn.simulated import SimulatedGpu

    return SimulatedGpu()


def _gpu() -> Any:
    from booru_ml.nn.routes import gpus
    from booru_ml.nn.routes.devices import Cuda

    if not gpus.count():
        pytest.skip("no GPU at hand")
    return Cuda("cuda:0")


@pytest.fixture(params=[_cpu, _simulated, _gpu])
def device(request: pytest.FixtureRequest) -> Any:
    return request.param()


def test_what_was_uploaded_comes_back(device: Any) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (3, 9, 7, 3)).astype(np.uint8)
    there = device.upload(pixels)
    assert there.device.type == device.torch.type
    np.testing.assert_array_equal(device.download({"pixels": there})["pixels"], pixels.astype(np.float32))


def test_later_work_sees_the_whole_upload(device: Any) -> None:
    """Transfers may be under way while the next is begun; sums must still be of the right bytes."""
    pixels = [np.full((8, 64, 64, 3), value, np.uint8) for value in range(20)]
    sums = [device.upload(part).float().mean() for part in pixels]
    found = device.download({str(number): value for number, value in enumerate(sums)})
    assert [float(found[str(number)]) for number in range(20)] == list(range(20))


def test_halves_come_back_as_float32(device: Any) -> None:
    half = device.upload(np.ones((1, 2, 2, 3), np.uint8)).bfloat16()
    assert device.download({"half": half})["half"].dtype == np.float32


def test_answers_outlive_the_memory_they_came_from(device: Any) -> None:
    first = device.download({"a": device.upload(np.full((1, 4, 4, 3), 7, np.uint8))})["a"]
    device.download({"a": device.upload(np.full((1, 4, 4, 3), 9, np.uint8))})
    device.release()
    assert (first == 7).all()


def test_what_does_not_fit_is_out_of_memory() -> None:
    import torch

    from tests.booru_ml.nn.simulated import SimulatedGpu

    with pytest.raises(torch.OutOfMemoryError):
        SimulatedGpu(room=1).upload(np.zeros((2, 2, 2, 3), np.uint8))


def test_a_real_gpu_says_so_too() -> None:
    import torch

    device = _gpu()
    with pytest.raises(torch.OutOfMemoryError):
        torch.empty(2**50, dtype=torch.uint8, device=device.torch)
