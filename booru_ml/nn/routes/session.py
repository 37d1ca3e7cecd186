"""What every route promises, and the loop they share: fitted pictures in, every head's output by name out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from booru_ml.nn.routes.room import Room
from booru_ml.nn.transforms import normalise

if TYPE_CHECKING:
    from booru_ml.checkpoint import Checkpoint
    from booru_ml.types import FloatArray, PixelArray

Outputs = dict[str, "FloatArray"]

# Where a graph of ours says which weights it refers to.
WEIGHTS_ID = "booru_ml.weights"

# Rows of one forward on a CPU. More gain nothing there, and cost memory: activations of 16 rows are 4 × those of 4.
CPU_ROWS = 4


class Session(ABC):
    """One checkpoint, loaded. Not for use by several threads at once."""

    out_of_memory: ClassVar[type[Exception]] = MemoryError
    shares_cores: ClassVar[bool] = False
    """Whether it may run while another checkpoint's session does, each on its own threads."""

    def __init__(self, checkpoint: Checkpoint, *, route: str, rows: int = CPU_ROWS) -> None:
        self.route = route
        self.preprocess = checkpoint.preprocess
        self.room = Room(rows)

    @abstractmethod
    def run(self, batch: FloatArray, *, only: Collection[str] = ()) -> Outputs:
        """Outputs by head for N×3×H×W float32, normalised; ``only`` names the heads that are wanted (empty: all)."""

    def see(self, fitted: Sequence[PixelArray], *, only: Collection[str] = ()) -> Outputs:
        """Outputs by head for frames that ``transforms.fit`` made, in forwards of as many rows as there is room for."""
        parts: list[Outputs] = []
        done = 0
        while done < len(fitted):
            rows = fitted[done : done + self.room.rows]
            outputs = self._try(rows, only)
            if outputs is None:  # Outside the handler, so that the failed forward's tensors are gone already.
                self._make_room(len(rows))
                continue
            self.room.fitted(len(rows))
            parts.append(outputs)
            done += len(rows)
        return (
            parts[0] if len(parts) == 1 else {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
        )

    def warm_up(self) -> None:
        """One forward, so that the first upload does not pay for lazy initialisation."""
        self.see([np.full((self.preprocess.height, self.preprocess.width, 3), 128, np.uint8)])

    @abstractmethod
    def close(self) -> None:
        """Gives the memory back."""

    def _forward(self, fitted: Sequence[PixelArray], only: Collection[str]) -> Outputs:
        return self.run(normalise(fitted, self.preprocess), only=only)

    def _try(self, fitted: Sequence[PixelArray], only: Collection[str]) -> Outputs | None:
        """None where memory ran out, and fewer rows may still fit."""
        try:
            return self._forward(fitted, only)
        except self.out_of_memory:
            if len(fitted) == 1:
                raise
            return None

    def _make_room(self, rows: int) -> None:
        self.room.too_many(rows)
