"""Exact inner products by NumPy: for boards, and web processes, that need no more."""

from __future__ import annotations

import numpy as np

from booru_ml.types import FloatArray
from embeddings.types import IntArray


class NumpyIndex:
    """Exact, one float32 matrix that grows by doubling."""

    def __init__(self, dimension: int) -> None:
        self.dimension = dimension
        self._lots = np.random.default_rng(0)
        self._places: dict[int, int] = {}
        self._ids = np.full(64, -1, dtype=np.int64)
        self._matrix = np.zeros((64, dimension), dtype=np.float32)

    def __len__(self) -> int:
        return len(self._places)

    def ids(self) -> IntArray:
        return self._ids[: len(self)].copy()

    def vectors(self) -> FloatArray:
        """(N, D) in the order of ``ids``."""
        return self._matrix[: len(self)]

    def add(self, ids: IntArray, vectors: FloatArray) -> None:
        self._reserve(len(self) + len(ids))
        for id_, vector in zip(ids.tolist(), vectors, strict=True):
            place = self._places.setdefault(id_, len(self._places))
            self._ids[place] = id_
            self._matrix[place] = vector

    def remove(self, ids: IntArray) -> int:
        removed = 0
        for id_ in ids.tolist():
            place = self._places.pop(id_, None)
            if place is None:
                continue
            removed += 1
            last = len(self._places)
            if place != last:  # the last one moves into the gap
                moved = int(self._ids[last])
                self._ids[place], self._matrix[place] = moved, self._matrix[last]
                self._places[moved] = place
        return removed

    def taken(self, count: int) -> tuple[IntArray, FloatArray]:
        """Takes about ``count`` out by lot, all of fewer, and gives memory back that is no longer needed."""
        places = np.arange(len(self))
        if count < len(self):
            places = np.unique(self._lots.integers(0, len(self), count))
        ids, vectors = self._ids[places], self._matrix[places]
        self.remove(ids)
        if len(self._ids) > 4 * max(len(self), 64):
            size = 2 * max(len(self), 64)
            self._ids, self._matrix = self._ids[:size].copy(), self._matrix[:size].copy()
        return ids, vectors

    def search(self, queries: FloatArray, limit: int) -> tuple[FloatArray, IntArray]:
        products = queries @ self.vectors().T
        found = min(limit, len(self))
        values = np.full((len(queries), limit), -np.inf, dtype=np.float32)
        ids = np.full((len(queries), limit), -1, dtype=np.int64)
        if found:
            best = np.argpartition(-products, found - 1, axis=1)[:, :found]
            order = np.argsort(-np.take_along_axis(products, best, axis=1), axis=1, kind="stable")
            best = np.take_along_axis(best, order, axis=1)
            values[:, :found] = np.take_along_axis(products, best, axis=1)
            ids[:, :found] = self._ids[best]
        return values, ids

    def _reserve(self, count: int) -> None:
        size = len(self._ids)
        if count <= size:
            return
        size = max(count, 2 * size)
        matrix = np.zeros((size, self.dimension), dtype=np.float32)
        matrix[: len(self)] = self.vectors()
        self._matrix = matrix
        self._ids = np.concatenate([self._ids, np.full(size - len(self._ids), -1, dtype=np.int64)])
