"""Exact inner products on a GPU, over float16: millions of vectors in a few milliseconds."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np

from booru_ml.conf import config
from booru_ml.nn.routes.gpus import share
from booru_ml.types import FloatArray
from embeddings.index.base import load_faiss
from embeddings.types import IntArray

MOST = 2048
"""The longest list of neighbours that FAISS gives on a GPU."""
SCRATCH_BYTES = 64 << 20
SLACK = 1024
"""Removed vectors that may stay on the GPU before they are cleared away."""


class GpuIndex:
    """A GPU index cannot remove, so what was removed keeps its place, without an id, until there are many of them.

    FAISS allows one call at a time on a GPU index, reading included, and so does the index's owner. ``store`` makes the
    flat index that holds the vectors, the GPU's unless said otherwise.
    """

    def __init__(self, dimension: int, *, store: Callable[[int], Any] | None = None) -> None:
        self.dimension = dimension
        self._store: Any = (store or gpu_store)(dimension)
        self._slots = np.zeros(0, dtype=np.int64)  # the id at each place in the store; -1: removed
        self._places: dict[int, int] = {}

    def __len__(self) -> int:
        return len(self._places)

    def ids(self) -> IntArray:
        return self._slots[self._slots >= 0]

    def add(self, ids: IntArray, vectors: FloatArray) -> None:
        self.remove(ids)
        latest = {id_: row for row, id_ in enumerate(ids.tolist())}
        start = len(self._slots)
        fresh = np.fromiter(latest, dtype=np.int64, count=len(latest))
        if len(fresh):
            self._store.add(np.ascontiguousarray(vectors[list(latest.values())], dtype=np.float32))
            self._slots = np.concatenate([self._slots, fresh])
            self._places.update(zip(fresh.tolist(), range(start, start + len(fresh)), strict=True))

    def remove(self, ids: IntArray) -> int:
        found = (self._places.pop(id_, None) for id_ in ids.tolist())
        places = [place for place in found if place is not None]
        self._slots[places] = -1
        if len(self._slots) - len(self) > max(SLACK, len(self) // 10):
            self._compact()
        return len(places)

    def search(self, queries: FloatArray, limit: int) -> tuple[FloatArray, IntArray]:
        values = np.full((len(queries), limit), -np.inf, dtype=np.float32)
        ids = np.full((len(queries), limit), -1, dtype=np.int64)
        wanted = min(limit, len(self), MOST) if len(queries) else 0
        ask = min(limit, len(self._slots), MOST)
        while wanted:
            found, places = self._store.search(np.ascontiguousarray(queries, dtype=np.float32), ask)
            named = np.where(places < 0, -1, self._slots[places])
            living = named >= 0
            if living.sum(axis=1).min() >= wanted or ask == min(len(self._slots), MOST):
                order = np.argsort(~living, axis=1, kind="stable")[:, :wanted]
                ids[:, :wanted] = np.take_along_axis(named, order, axis=1)
                values[:, :wanted] = np.take_along_axis(found, order, axis=1)
                values[ids < 0] = -np.inf
                break
            ask = min(2 * ask, len(self._slots), MOST)  # what was removed takes up the places
        return values, ids

    def _compact(self) -> None:
        living = np.flatnonzero(self._slots >= 0)
        kept = self._store.reconstruct_n(0, len(self._slots))[living] if len(living) else None
        self._store.reset()
        if kept is not None:
            self._store.add(np.ascontiguousarray(kept))
        self._slots = self._slots[living]
        self._places = {id_: place for place, id_ in enumerate(self._slots.tolist())}


def gpu_wanted() -> bool:
    """Whether the settings allow a GPU and FAISS finds one (docs/install.md, “Indexes on a GPU”)."""
    return config().DEVICE != "cpu" and gpus() > 0


@cache
def gpus() -> int:
    """GPUs that the installed FAISS can use."""
    faiss = load_faiss()
    return int(faiss.get_num_gpus()) if hasattr(faiss, "StandardGpuResources") else 0


def gpu_store(dimension: int) -> Any:
    """An empty flat float16 index on the configured GPU."""
    faiss = load_faiss()
    place = faiss.GpuIndexFlatConfig()
    place.useFloat16 = True
    _, _, number = config().DEVICE.partition(":")
    place.device = int(number) if number else share(gpus())  # where this process's networks are, too
    return faiss.GpuIndexFlatIP(_resources(), dimension, place)


@cache
def _resources() -> Any:
    """Of all indexes of this process. FAISS would set 1.5 GiB of the GPU aside for sums, which networks need more."""
    resources = load_faiss().StandardGpuResources()
    resources.setTempMemory(SCRATCH_BYTES)
    return resources
