"""A GPU made of the CPU's memory: it computes the same, has room for so many rows, and remembers what it was asked."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from booru_ml.nn.routes.devices import Cpu


class SimulatedGpu(Cpu):
    """``room``: rows that fit, or None for any number. ``asked``: rows of each upload; ``released``: how often."""

    def __init__(self, room: int | None = None, rows: int = 8) -> None:
        super().__init__()
        self.rows = rows
        self.room = room
        self.asked: list[int] = []
        self.released = 0

    def upload(self, pixels: np.ndarray, /) -> Tensor:
        self.asked.append(len(pixels))
        if self.room is not None and len(pixels) > self.room:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return super().upload(pixels).clone()  # as a real one: it keeps no reference to the host's memory

    def download(self, found: Mapping[str, Tensor], /) -> dict[str, np.ndarray]:
        return {name: value.copy() for name, value in super().download(found).items()}

    def release(self) -> None:
        self.released += 1
