"""Where torch computes: the CPU, or a GPU with pinned, non-blocking transfers."""

from __future__ import annotations

import ctypes
from collections.abc import Mapping
from contextlib import suppress
from functools import cache
from typing import TYPE_CHECKING, Protocol

import torch
from torch import Tensor

from booru_ml.nn.routes.session import CPU_ROWS

if TYPE_CHECKING:
    from booru_ml.nn.routes.session import Outputs
    from booru_ml.types import PixelArray

GPU_ROWS = 64


class Device(Protocol):
    """One place for tensors. What does not fit raises ``torch.OutOfMemoryError``."""

    torch: torch.device
    rows: int
    """Rows of one forward: bounds memory, and beyond it a batch gains nothing."""

    def upload(self, pixels: PixelArray, /) -> Tensor:
        """The same numbers on the device; may return before they have arrived, in the order of later work."""
        ...

    def download(self, found: Mapping[str, Tensor], /) -> Outputs:
        """All outputs as float32, once they are there."""
        ...

    def release(self) -> None:
        """Gives cached memory back to the driver, for other processes."""
        ...


class Cpu:
    def __init__(self) -> None:
        self.torch = torch.device("cpu")
        self.rows = CPU_ROWS
        _keep_freed_memory()

    def upload(self, pixels: PixelArray, /) -> Tensor:
        return torch.from_numpy(pixels)

    def download(self, found: Mapping[str, Tensor], /) -> Outputs:
        return {name: value.float().numpy() for name, value in found.items()}

    def release(self) -> None:
        """The CPU's memory goes back by itself."""


class Cuda:
    def __init__(self, name: str) -> None:
        self.torch = torch.device(name)
        self.rows = GPU_ROWS
        # Convolutions in TF32, torch's default, keep 10 bits of a number: too few for scores within 1e-3.
        torch.backends.cudnn.allow_tf32 = False

    def upload(self, pixels: PixelArray, /) -> Tensor:
        return torch.from_numpy(pixels).pin_memory().to(self.torch, non_blocking=True)

    def download(self, found: Mapping[str, Tensor], /) -> Outputs:
        # Every copy is queued before the one wait for all of them.
        there = {name: value.float().to("cpu", non_blocking=True) for name, value in found.items()}
        torch.cuda.current_stream(self.torch).synchronize()
        return {name: value.numpy() for name, value in there.items()}

    def release(self) -> None:
        torch.cuda.empty_cache()


def open_device(name: str) -> Device:
    """``cpu`` or ``cuda:N``."""
    return Cpu() if name == "cpu" else Cuda(name)


@cache
def _keep_freed_memory() -> None:
    """glibc gives each large block back to the kernel, which clears it anew for the next layer: a third of the time."""
    trim_threshold, mmap_threshold = -1, -3  # <malloc.h>
    with suppress(OSError, AttributeError):
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(mmap_threshold, 2**30)
        mallopt(trim_threshold, 2**30)
