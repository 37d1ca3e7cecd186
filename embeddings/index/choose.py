"""Which index suits so many vectors; the thresholds are measured (docs/performance.md, "Index")."""

from __future__ import annotations

from booru_ml.types import FloatArray
from embeddings.index.base import Index
from embeddings.index.exact import NumpyIndex
from embeddings.index.flat import FlatIndex
from embeddings.index.gpu import GpuIndex, gpu_wanted
from embeddings.index.graph import GraphIndex
from embeddings.types import IntArray

FAISS_FROM = 10_000
"""Vectors from which FAISS is worth its import in a web process."""
GRAPH_FROM = 20_000
"""Vectors from which comparing with each takes longer than a few milliseconds, and a graph is worth its building."""


def build(dimension: int, ids: IntArray, vectors: FloatArray) -> Index:
    """The index that suits this many vectors, filled."""
    index: Index
    if len(ids) < FAISS_FROM:
        index = NumpyIndex(dimension)
    elif gpu_wanted():
        index = GpuIndex(dimension)
    elif len(ids) < GRAPH_FROM:
        index = FlatIndex(dimension)
    else:
        index = GraphIndex(dimension)
    index.add(ids, vectors)
    return index


def grown(index: Index) -> Index:
    """The same index, or the one that suits its size better by now; none becomes a smaller kind again."""
    if isinstance(index, NumpyIndex | FlatIndex):
        least = FAISS_FROM if isinstance(index, NumpyIndex) else GRAPH_FROM
        if len(index) >= least:
            return build(index.dimension, index.ids(), index.vectors())
    return index
