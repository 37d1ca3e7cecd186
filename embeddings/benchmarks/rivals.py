"""Indexes to compare with, each with one knob: how many candidates a search keeps."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any, ClassVar, Protocol

import numpy as np

from booru_ml.types import FloatArray
from embeddings import upkeep
from embeddings.index import choose, tuning
from embeddings.index.graph import CANDIDATES, LINKS, GraphIndex
from embeddings.types import IntArray


class Rival(Protocol):
    """``efforts`` to try, the least first; one that is exact has none."""

    efforts: tuple[int, ...]

    def add(self, ids: IntArray, vectors: FloatArray) -> None: ...
    def remove(self, ids: IntArray) -> None: ...
    def try_as_hard_as(self, effort: int) -> None: ...
    def search(self, queries: FloatArray, limit: int) -> IntArray: ...


class Ours:
    efforts: tuple[int, ...] = ()

    def __init__(self, dimension: int, count: int) -> None:
        self.index: Any = choose.build(dimension, np.zeros(0, dtype=np.int64), np.zeros((0, dimension), np.float32))

    def add(self, ids: IntArray, vectors: FloatArray) -> None:
        self.index.add(ids, vectors)
        self.index = choose.grown(self.index)

    def fold_nearly_all(self) -> None:
        """What the upkeep's thread does; what is left is for measuring the effort."""
        if isinstance(self.index, GraphIndex):
            self._fold(self.index, tuning.PROBES)

    def settle(self) -> None:
        """Everything into the graph, and the effort measured by what it last took in where it has grown."""
        index = self.index
        if isinstance(index, GraphIndex):
            if index.size >= upkeep.GROWN * index.tuned_at and index.waiting:
                tuned = tuning.tune(index, index.beside())
                index.effort, index.recall, index.tuned_at = tuned.effort, tuned.recall, index.size
            self._fold(index, 0)
            index.use_large_pages()

    def _fold(self, index: GraphIndex, leave: int) -> None:
        while index.waiting > leave:
            index.fold(min(512, index.waiting - leave))

    def remove(self, ids: IntArray) -> None:
        self.index.remove(ids)

    def try_as_hard_as(self, effort: int) -> None:
        self.index.effort = effort

    def search(self, queries: FloatArray, limit: int) -> IntArray:
        ids: IntArray = self.index.search(queries, limit)[1]
        return ids


class NumPy:
    """One matrix product over float32, the best there is without an index."""

    efforts: tuple[int, ...] = ()

    def __init__(self, dimension: int, count: int) -> None:
        self._matrix = np.zeros((0, dimension), dtype=np.float32)
        self._ids = np.zeros(0, dtype=np.int64)

    def add(self, ids: IntArray, vectors: FloatArray) -> None:
        self._ids, self._matrix = np.concatenate([self._ids, ids]), np.concatenate([self._matrix, vectors])

    def remove(self, ids: IntArray) -> None:
        kept = ~np.isin(self._ids, ids)
        self._ids, self._matrix = self._ids[kept], self._matrix[kept]

    def try_as_hard_as(self, effort: int) -> None: ...

    def search(self, queries: FloatArray, limit: int) -> IntArray:
        products = queries @ self._matrix.T
        some = np.argpartition(-products, limit - 1, axis=1)[:, :limit]
        order = np.argsort(-np.take_along_axis(products, some, axis=1), axis=1)
        return self._ids[np.take_along_axis(some, order, axis=1)]


class Hnswlib:
    efforts = tuning.EFFORTS
    needs: ClassVar[str] = "hnswlib"

    def __init__(self, dimension: int, count: int) -> None:
        import hnswlib

        self._index: Any = hnswlib.Index("ip", dimension)
        self._index.init_index(count, M=LINKS, ef_construction=CANDIDATES)
        self._index.set_num_threads(1)

    def add(self, ids: IntArray, vectors: FloatArray) -> None:
        self._index.add_items(vectors, ids, num_threads=1)

    def remove(self, ids: IntArray) -> None:
        for id_ in ids.tolist():
            self._index.mark_deleted(id_)

    def try_as_hard_as(self, effort: int) -> None:
        self._index.set_ef(effort)

    def search(self, queries: FloatArray, limit: int) -> IntArray:
        return np.asarray(self._index.knn_query(queries, limit, num_threads=1)[0], dtype=np.int64)


class Usearch:
    efforts = tuning.EFFORTS
    needs: ClassVar[str] = "usearch"

    def __init__(self, dimension: int, count: int) -> None:
        from usearch.index import Index

        self._index: Any = Index(ndim=dimension, metric="ip", dtype="f16", connectivity=LINKS, expansion_add=CANDIDATES)

    def add(self, ids: IntArray, vectors: FloatArray) -> None:
        self._index.add(ids, vectors, threads=1)

    def remove(self, ids: IntArray) -> None:
        self._index.remove(ids)

    def try_as_hard_as(self, effort: int) -> None:
        self._index.expansion_search = effort

    def search(self, queries: FloatArray, limit: int) -> IntArray:
        found = np.full((len(queries), limit), -1, dtype=np.int64)
        keys = np.atleast_2d(self._index.search(queries, limit, threads=1).keys).astype(np.int64)
        found[:, : keys.shape[1]] = keys
        return found


RIVALS: dict[str, type[Any]] = {"ours": Ours, "numpy": NumPy, "hnswlib": Hnswlib, "usearch": Usearch}


def missing(name: str) -> bool:
    """Whether the package of this one is not installed."""
    needs = getattr(RIVALS[name], "needs", None)
    return needs is not None and find_spec(needs) is None
