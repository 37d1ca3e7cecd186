"""Directions in which the pictures of one subject vary among themselves count less: Mahalanobis distance to the mean.

The within-class scatter of the support pictures is shrunk towards a multiple of the identity by the amount that
expects the least error (Chen et al., "Shrinkage Algorithms for MMSE Covariance Estimation", 2010,
https://arxiv.org/abs/0907.4698), so a few pictures change little and a large gallery speaks for itself.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from booru_ml.types import FloatArray
from embeddings.methods.base import Fitted, Method, Projection, SupportSet
from embeddings.methods.mean import cosine

ENOUGH = 8
"""Degrees of freedom below which a scatter is noise and vectors are left as they are."""


def within(support: SupportSet) -> tuple[FloatArray, int]:
    """The residuals (M, D) of exemplars from their subjects' means, and their degrees of freedom, M − N."""
    residuals = support.exemplars - support.means()[support.owners]
    return residuals, len(support.exemplars) - len(support.starts)


def shrinkage(values: npt.NDArray[np.float64], dimension: int, freedom: int) -> float:
    """The oracle-approximating share (0–1) of identity in a scatter with these eigenvalues, of ``freedom`` samples."""
    trace, squares = float(values.sum()), float(np.square(values).sum())
    excess = squares - trace**2 / dimension
    if excess <= 0:
        return 1.0
    wanted = (1 - 2 / dimension) * squares + trace**2
    return float(min(wanted / ((freedom + 1 - 2 / dimension) * excess), 1.0))


def whitening(residuals: FloatArray, freedom: int) -> FloatArray:
    """(D, D) the inverse square root of (1 − share)·scatter + share·level·I, up to its scale; level: trace/D."""
    dimension = residuals.shape[1]
    _, lengths, axes = np.linalg.svd(residuals, full_matrices=False)
    values = np.square(lengths.astype(np.float64)) / freedom
    share = shrinkage(values, dimension, freedom)
    level = values.sum() / dimension
    # What no residual reaches has the eigenvalue share·level, and keeps its length.
    scale = np.sqrt(share * level / ((1 - share) * values + share * level))
    return np.asarray(np.eye(dimension) + (axes.T * (scale - 1)) @ axes, np.float32)


class Whitened(Method):
    name = "whitened"
    title = "mean, whitened within classes"

    def projection(self, support: SupportSet) -> Projection:
        residuals, freedom = within(support)
        if freedom < ENOUGH or not residuals.any():
            return Projection()
        return Projection(matrix=whitening(residuals, freedom))

    def score(self, similar: FloatArray, central: FloatArray, fitted: Fitted) -> FloatArray:
        return cosine(central, fitted.means)
