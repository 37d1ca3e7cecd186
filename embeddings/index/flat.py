"""Exact inner products by FAISS over float16, which is what the database keeps: nothing is lost."""

from __future__ import annotations

from typing import Any

import numpy as np

from booru_ml.types import FloatArray
from embeddings.index.base import load_faiss
from embeddings.types import IntArray


class FlatIndex:
    def __init__(self, dimension: int) -> None:
        faiss = load_faiss()
        self._faiss = faiss
        half = faiss.ScalarQuantizer.QT_fp16
        self._index: Any = faiss.IndexIDMap2(faiss.IndexScalarQuantizer(dimension, half, faiss.METRIC_INNER_PRODUCT))
        self._index.is_trained = self._index.index.is_trained = True  # float16 has nothing to learn
        self._known: set[int] = set()
        self.dimension = dimension

    def __len__(self) -> int:
        return len(self._known)

    def ids(self) -> IntArray:
        ids: IntArray = self._faiss.vector_to_array(self._index.id_map)
        return ids

    def vectors(self) -> FloatArray:
        """(N, D) in the order of ``ids``."""
        vectors: FloatArray = self._index.index.reconstruct_n(0, len(self))
        return vectors

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
        load_faiss()
        values, ids = self._index.search(np.ascontiguousarray(queries, dtype=np.float32), limit)
        values[ids < 0] = -np.inf
        return values, ids
