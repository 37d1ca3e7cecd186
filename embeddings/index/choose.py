"""Which index suits so many vectors; the threshold is measured (docs/performance.md, "Index")."""

from __future__ import annotations

from booru_ml.types import FloatArray
from embeddings.index.base import Index
from embeddings.index.exact import NumpyIndex
from embeddings.index.gpu import GpuIndex, gpu_wanted
from embeddings.index.graph import GraphIndex
from embeddings.types import IntArray

FAISS_FROM = 10_000
"""Vectors from which comparing with each takes milliseconds, so that FAISS is worth its import in a web process."""


def build(dimension: int, ids: IntArray, vectors: FloatArray) -> Index:
    """The index that suits this many vectors, filled."""
    index: Index
    if len(ids) < FAISS_FROM:
        index = NumpyIndex(dimension)
    else:
        index = GpuIndex(dimension) if gpu_wanted() else GraphIndex(dimension)
    index.add(ids, vectors)
    return index


def grown(index: Index) -> Index:
    """The same index, or the one that suits its size better by now; none becomes a smaller kind again."""
    if isinstance(index, NumpyIndex) and len(index) >= FAISS_FROM:
        return build(index.dimension, index.ids(), index.vectors())
    return index
