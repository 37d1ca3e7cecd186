"""What every index of vectors can do, whatever it is made of."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np

from booru_ml.conf import config
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


def best_of(
    one: tuple[FloatArray, IntArray], other: tuple[FloatArray, IntArray], limit: int
) -> tuple[FloatArray, IntArray]:
    """The best ``limit`` of two searches' (Q, …) products and ids, descending."""
    values = np.concatenate([one[0], other[0]], axis=1)
    ids = np.concatenate([one[1], other[1]], axis=1)
    if values.shape[1] > 4 * limit:
        some = np.argpartition(-values, limit - 1, axis=1)[:, :limit]
        values, ids = np.take_along_axis(values, some, axis=1), np.take_along_axis(ids, some, axis=1)
    order = np.argsort(-values, axis=1, kind="stable")[:, :limit]
    return np.take_along_axis(values, order, axis=1), np.take_along_axis(ids, order, axis=1)


def load_faiss(threads: int | None = None) -> Any:
    """FAISS, for this thread with so many of its own (``THREADS``). OpenMP keeps that number for each thread apart."""
    import faiss

    faiss.omp_set_num_threads(threads or config().THREADS)
    return faiss
