"""A subject is its mean exemplar: prototypical networks, the paper's method (AniWho uses it) and the baseline.

Jake Snell, Kevin Swersky and Richard Zemel, "Prototypical Networks for Few-shot Learning", NeurIPS 2017,
https://arxiv.org/abs/1703.05175
"""

from __future__ import annotations

import numpy as np

from booru_ml.types import FloatArray
from embeddings.methods.base import Fitted, Method


def euclidean(products: FloatArray, means: FloatArray) -> FloatArray:
    """(Q, N) 1 − ‖q − c‖²/2 out of products (Q, N) of unit queries with means c (N, D).

    It falls as the paper's distance grows, and is the cosine where c has length 1, so that all methods share a scale.
    """
    return np.asarray(products + (1 - np.square(means).sum(axis=1)) / 2, np.float32)


def cosine(products: FloatArray, means: FloatArray) -> FloatArray:
    """(Q, N) cosines out of products (Q, N) of unit queries with means (N, D); 0 for a mean without direction."""
    return np.asarray(products / np.maximum(np.linalg.norm(means, axis=1), 1e-9), np.float32)


class EuclideanMean(Method):
    name = "mean"
    title = "mean, Euclidean (Snell et al. 2017)"

    def score(self, similar: FloatArray, central: FloatArray, fitted: Fitted) -> FloatArray:
        return euclidean(central, fitted.means)


class CosineMean(Method):
    name = "mean-cosine"
    title = "mean, cosine"

    def score(self, similar: FloatArray, central: FloatArray, fitted: Fitted) -> FloatArray:
        return cosine(central, fitted.means)
