"""Exact inner products by FAISS."""

from __future__ import annotations

from typing import Any

import numpy as np

from booru_ml.types import FloatArray
from embeddings.types import IntArray


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
