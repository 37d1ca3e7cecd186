"""Nearest vectors by inner product. An index is derived from ``Vector`` rows and may be thrown away at any time.

Up to ``FAISS_FROM`` vectors a numpy matrix answers, in a web process as well as in a worker; beyond, FAISS does, and
is imported only then. Neither locks: their owner (``embeddings.similar``) lets one thread in at a time.
"""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np

from booru_ml.types import FloatArray
from embeddings.types import IntArray

FAISS_FROM = 10_000
"""Vectors from which FAISS is worth its import; a numpy search among as many takes about 5 ms."""


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


class NumpyIndex:
    """Exact, one float32 matrix that grows by doubling."""

    def __init__(self, dimension: int) -> None:
        self.dimension = dimension
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


class FaissIndex:
    """Exact inner product by FAISS."""

    def __init__(self, dimension: int, *, threads: int = 1) -> None:
        import faiss

        faiss.omp_set_num_threads(threads)
        faiss.cvar.distance_compute_blas_threshold = 1  # by default small batches go without BLAS, many times slower
        self._faiss: Any = faiss
        self._index: Any = faiss.IndexIDMap2(faiss.IndexFlatIP(dimension))
        self._known: set[int] = set()
        self.dimension = dimension

    def __len__(self) -> int:
        return len(self._known)

    def ids(self) -> IntArray:
        return np.fromiter(self._known, dtype=np.int64, count=len(self._known))

    def add(self, ids: IntArray, vectors: FloatArray) -> None:
        self.remove(ids)
        latest = {id_: place for place, id_ in enumerate(ids.tolist())}
        places = list(latest.values())
        if places:
            self._index.add_with_ids(np.ascontiguousarray(vectors[places], dtype=np.float32), ids[places])
            self._known.update(latest)

    def remove(self, ids: IntArray) -> int:
        present = self._known.intersection(ids.tolist())
        if present:  # FAISS looks through the whole index for it
            self._index.remove_ids(np.fromiter(present, dtype=np.int64, count=len(present)))
            self._known -= present
        return len(present)

    def search(self, queries: FloatArray, limit: int) -> tuple[FloatArray, IntArray]:
        values, ids = self._index.search(np.ascontiguousarray(queries, dtype=np.float32), limit)
        values[ids < 0] = -np.inf
        return values, ids


def build(dimension: int, ids: IntArray, vectors: FloatArray, *, threads: int = 1) -> Index:
    """The index that suits this many vectors, filled."""
    index: Index = FaissIndex(dimension, threads=threads) if len(ids) >= FAISS_FROM else NumpyIndex(dimension)
    index.add(ids, vectors)
    return index


def grown(index: Index, *, threads: int = 1) -> Index:
    """The same index, or the one that suits its size better by now."""
    if isinstance(index, NumpyIndex) and len(index) >= FAISS_FROM:
        return build(index.dimension, index.ids(), index.vectors(), threads=threads)
    return index
