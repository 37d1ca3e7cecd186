"""Nearest vectors by a graph (HNSW, Malkov and Yashunin 2016) over float16, for more than can be compared one by one.

What is new stands beside the graph and is compared exactly, so adding costs next to nothing and is searchable at once;
``fold`` takes it into the graph in steps as small as its caller likes. What was removed stays in the graph as a way to
others, and is left out of every answer. The vectors in the graph are the database's own float16, so its products are
exact; only which neighbours it finds is approximate (``embeddings.index.tuning`` measures how well).
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np

from booru_ml.types import FloatArray
from embeddings.index.base import best_of, load_faiss
from embeddings.index.exact import NumpyIndex
from embeddings.index.pages import on_large_pages
from embeddings.types import IntArray

LINKS = 16
CANDIDATES = 100
"""Looked at for each vector that the graph takes in. More make a better graph, and take longer in proportion."""
CHUNK = 4096
PAGED_ANEW = 1.25
"""Growth after which large pages are asked for again."""


class GraphIndex:
    """``effort`` (HNSW's efSearch) is how many candidates a search keeps: more find better and take longer. Its
    ``recall`` was measured at the size ``tuned_at``; ``saved_at`` is the size on disk. ``size``: vectors in the graph,
    removed ones included."""

    def __init__(self, dimension: int) -> None:
        self._faiss = faiss = load_faiss()
        self.dimension = dimension
        self.effort = 4 * LINKS
        self.recall = 0.0
        self.tuned_at = 0
        self.saved_at = 0
        half = faiss.ScalarQuantizer.QT_fp16
        self._graph: Any = faiss.IndexHNSWSQ(dimension, half, LINKS, faiss.METRIC_INNER_PRODUCT)
        self._graph.hnsw.efConstruction = CANDIDATES
        self._graph.is_trained = True  # float16 has nothing to learn
        self.size = 0
        self._paged_at = 0
        # The id at each place in the graph; -1: removed, or not there, as the last one always, which FAISS's -1 means.
        self._slots = np.full(1024, -1, dtype=np.int64)
        self._places: dict[int, int] = {}
        self._fresh = NumpyIndex(dimension)

    @classmethod
    def of(cls, graph: Any, ids: IntArray, *, effort: int, recall: float, tuned_at: int) -> GraphIndex:
        """The index that was taken apart by ``parts``."""
        index = cls(graph.d)
        index._graph, index._slots = graph, np.append(ids, -1)
        index.size = len(ids)
        index._places = {id_: place for place, id_ in enumerate(ids.tolist()) if id_ >= 0}
        index.effort, index.recall, index.tuned_at, index.saved_at = effort, recall, tuned_at, len(ids)
        index.use_large_pages()
        return index

    def parts(self) -> tuple[Any, IntArray]:
        """The graph and the ids by place, without what is beside the graph. The ids are a copy, the graph is not."""
        return self._graph, self._slots[: self.size].copy()

    def __len__(self) -> int:
        return len(self._places) + len(self._fresh)

    @property
    def waiting(self) -> int:
        """Vectors beside the graph."""
        return len(self._fresh)

    def beside(self) -> FloatArray:
        """(N, D) what the graph has not seen."""
        return self._fresh.vectors().copy()

    @property
    def removed(self) -> int:
        return self.size - len(self._places)

    def ids(self) -> IntArray:
        inside = self._slots[: self.size]
        return np.concatenate([inside[inside >= 0], self._fresh.ids()])

    def vectors(self) -> FloatArray:
        """(N, D) in the order of ``ids``."""
        inside = self._stored(np.flatnonzero(self._slots[: self.size] >= 0))
        return np.concatenate([inside, self._fresh.vectors()])

    def inside(self, ids: IntArray) -> tuple[IntArray, FloatArray]:
        """Those of ``ids`` that the graph holds, and their vectors."""
        known = [id_ for id_ in ids.tolist() if id_ in self._places]
        places = np.array([self._places[id_] for id_ in known], dtype=np.int64)
        return np.array(known, dtype=np.int64), self._stored(places)

    def add(self, ids: IntArray, vectors: FloatArray) -> None:
        self._bury(ids)
        self._fresh.add(ids, vectors)

    def remove(self, ids: IntArray) -> int:
        return self._bury(ids) + self._fresh.remove(ids)

    def fold(self, count: int, *, threads: int = 1) -> None:
        """Takes about ``count`` of the vectors beside the graph into it, drawn by lot."""
        ids, vectors = self._fresh.taken(count)
        if not len(ids):
            return
        start, end = self.size, self.size + len(ids)
        if end >= len(self._slots):
            self._slots = np.concatenate([self._slots, np.full(max(end, len(self._slots)), -1, dtype=np.int64)])
        load_faiss(threads)
        self._graph.add(vectors)
        self._slots[start:end] = ids
        self.size = end
        self._places.update(zip(ids.tolist(), range(start, end), strict=True))

    def search(self, queries: FloatArray, limit: int) -> tuple[FloatArray, IntArray]:
        found = self.approximate(queries, limit, self.effort)
        return best_of(found, self._fresh.search(queries, limit), limit) if len(self._fresh) else found

    def approximate(self, queries: FloatArray, limit: int, effort: int) -> tuple[FloatArray, IntArray]:
        """The best of what is in the graph."""
        living = len(self._places)
        if living == self.size:
            return self._living(queries, limit, limit, effort)
        # So many that hardly ever too few of them live, and all is asked again; nothing is dearer for it.
        ask = limit + 4 + 8 * limit * (self.size - living) // self.size
        effort = effort * self.size // max(1, living)  # what was removed takes up its share
        return self._living(queries, limit, ask, effort)

    def _living(self, queries: FloatArray, limit: int, ask: int, effort: int) -> tuple[FloatArray, IntArray]:
        """The best that live of the best ``ask``; of twice as many, and so on, where those are fewer than ``limit``.

        What is around FAISS in Python is a sixth of a search among ten thousand, so it is not FAISS's own ``search``,
        which checks what is known here.
        """
        count, dimension = queries.shape
        if dimension != self.dimension:
            raise ValueError(f"a query has {dimension} numbers, the index {self.dimension}")
        if ask * 8 >= self.size or limit > len(self._places):
            return self.exact(queries, limit)
        if count > 1:
            load_faiss()  # its threads; FAISS looks for a single one in the thread that asks
        values, places = np.empty((count, ask), np.float32), np.empty((count, ask), np.int64)
        queries = np.ascontiguousarray(queries, dtype=np.float32)
        pointer = self._faiss.swig_ptr
        how = _how(max(effort, ask))
        self._graph.search_c(count, pointer(queries), ask, pointer(values), pointer(places), how)
        ids = self._slots[places]
        if not count or ids.item(ids.argmin()) >= 0:  # min() takes five times as long
            return values[:, :limit], ids[:, :limit]
        removed = ids < 0
        # A single answer can do without sorting.
        if count == 1 and ask - np.count_nonzero(removed) >= limit:
            return values[~removed][None, :limit], ids[~removed][None, :limit]
        rows, first = np.arange(len(ids))[:, None], np.argsort(removed, axis=1, kind="stable")[:, :limit]
        values, ids = values[rows, first], ids[rows, first]
        few = ids[:, -1] < 0
        if np.count_nonzero(few):
            values[few], ids[few] = self._living(queries[few], limit, 2 * ask, effort)
        return values, ids

    def exact(self, queries: FloatArray, limit: int) -> tuple[FloatArray, IntArray]:
        """As ``approximate``, by looking at every vector in the graph."""
        values = np.full((len(queries), limit), -np.inf, dtype=np.float32)
        ids = np.full((len(queries), limit), -1, dtype=np.int64)
        every = self._slots[: self.size]
        for start in range(0, len(every), CHUNK):
            some = every[start : start + CHUNK]
            products = queries @ self._graph.storage.reconstruct_n(start, len(some)).T
            products[:, some < 0] = -np.inf
            values, ids = best_of((values, ids), (products, np.broadcast_to(some, products.shape)), limit)
        ids[np.isneginf(values)] = -1
        return values, ids

    def use_large_pages(self) -> None:
        """Where it has grown. What is added later takes what pages it gets, and all of it where it had to move.

        Takes a moment for each hundred MiB. Safe beside searches in other threads, but not beside ``fold``.
        """
        if self.size < PAGED_ANEW * self._paged_at:
            return
        self._paged_at = self.size
        for memory in (self._faiss.downcast_index(self._graph.storage).codes, self._graph.hnsw.neighbors):
            if memory.size():
                on_large_pages(self._faiss.rev_swig_ptr(memory.data(), memory.size()))

    def _stored(self, places: IntArray) -> FloatArray:
        vectors: FloatArray = self._graph.storage.reconstruct_batch(places)
        return vectors

    def _bury(self, ids: IntArray) -> int:
        places = [place for place in (self._places.pop(id_, None) for id_ in ids.tolist()) if place is not None]
        self._slots[places] = -1
        return len(places)


@lru_cache(maxsize=256)
def _how(effort: int) -> Any:
    """Making one takes FAISS an eighth of a search among ten thousand."""
    return load_faiss().SearchParametersHNSW(efSearch=effort)
