"""Which index suits so many vectors."""

from __future__ import annotations

from booru_ml.types import FloatArray
from embeddings.index.base import Index
from embeddings.index.exact import NumpyIndex
from embeddings.index.flat import FaissIndex
from embeddings.types import IntArray

FAISS_FROM = 10_000
"""Vectors from which FAISS is worth its import; a numpy search among as many takes about 5 ms."""


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
