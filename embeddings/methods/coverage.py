"""Which exemplars to keep of a subject that has too many: those that leave no look uncovered.

Greedy k-centre (Gonzalez, "Clustering to Minimize the Maximum Intercluster Distance", 1985): the next one kept is the
one farthest from all kept so far, at most twice as far from them as the best choice would leave it.
"""

from __future__ import annotations

import numpy as np

from booru_ml.types import FloatArray
from embeddings.types import IntArray


def farthest_points(vectors: FloatArray, count: int, weights: FloatArray | None = None) -> IntArray:
    """Places (≤ count,), ascending, of the L2-normalised vectors (N, D) to keep; the first is the nearest to the mean.

    A distance counts as much as its vector is trusted (``weights``, N), so a doubtful picture far from all others is
    not the first to be kept for being odd.
    """
    if len(vectors) <= count:
        return np.arange(len(vectors))
    trust = np.ones(len(vectors), np.float32) if weights is None else weights
    kept = [int((vectors @ (trust @ vectors)).argmax())]
    nearest = vectors @ vectors[kept[0]]
    while len(kept) < count:
        nearest[kept[-1]] = np.inf  # never again
        kept.append(int((trust * (1 - nearest)).argmax()))
        np.maximum(nearest, vectors @ vectors[kept[-1]], out=nearest)
    return np.sort(np.array(kept))
