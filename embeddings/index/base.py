"""What every index of vectors can do, whatever it is made of."""

from __future__ import annotations

from typing import Protocol

from booru_ml.types import FloatArray
from embeddings.types import IntArray


class Index(Protocol):
    """Ids are ``Vector`` primary keys, vectors (N, D) float32 and L2-normalised, so products are cosines."""

    dimension: int

    def __len__(self) -> int: ...

    def ids(self) -> IntArray:
        """(N,) every id in the index, in no particular order."""
        ...

    def add(self, ids: IntArray, vectors: FloatArray) -> None:
        """Adds (N, D) vectors; an id that is there already gets the new vector."""
        ...

    def remove(self, ids: IntArray) -> int:
        """Removes what is there of ``ids``; returns how many were."""
        ...

    def search(self, queries: FloatArray, limit: int) -> tuple[FloatArray, IntArray]:
        """For (Q, D) queries the best ``limit``: (Q, limit) products, descending, and ids; -1 where there are fewer."""
        ...
