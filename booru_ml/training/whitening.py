"""Whitening of a vector head: axes along which pictures always vary alike count less.

Without labels the pictures' whole correlation is undone; with labels only what varies **within** a class (one
character's poses, one illustrator's subjects), so that what tells classes apart is left standing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt

from booru_ml.errors import InvalidInput
from booru_ml.types import FloatArray

TINY = 1e-6
MOST_AXES = 768
"""Principal axes that the work goes on in; beyond them there is noise, and the time grows with the cube."""

Table = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Scatter:
    """Raw features N × D, standardised and turned to their principal axes: every shrinkage follows from here cheaply.

    ``mean`` and ``spread`` (D,); ``axes`` (D × A); ``total`` (A × A): covariance on them; ``values`` and ``vectors``:
    eigenvalues and eigenvectors of the scatter that whitening shall undo, on the same axes.
    """

    mean: Table
    spread: Table
    axes: Table
    total: Table
    values: Table
    vectors: Table

    @classmethod
    def of(cls, rows: FloatArray, labels: Sequence[str] | None = None) -> Self:
        """Raises ``InvalidInput`` for fewer than two rows, or labels of which none has two rows."""
        if rows.ndim != 2 or len(rows) < 2:
            raise InvalidInput("Whitening needs the features of two pictures or more.")
        table = rows.astype(np.float64)
        mean = table.mean(axis=0)
        spread = table.std(axis=0) + TINY
        standard = (table - mean) / spread
        strength, vectors = np.linalg.eigh(standard.T @ standard / len(standard))
        axes = vectors[:, np.argsort(strength)[::-1][: min(MOST_AXES, len(rows))]]
        turned = standard @ axes
        total = turned.T @ turned / len(turned)
        values, vectors = np.linalg.eigh(total if labels is None else within(turned, labels))
        return cls(mean, spread, axes, total, np.maximum(values, 0.0), vectors)

    def projection(self, *, dim: int, shrink: float) -> FloatArray:
        """Matrix dim × D for ``raw − mean``.

        The scatter is shrunk towards a multiple of the identity by ``shrink`` (0–1; Ledoit & Wolf 2004), inverted by
        its square root, and the ``dim`` directions along which pictures then vary most are kept.
        """
        if not 1 <= dim <= len(self.values) or not 0 <= shrink <= 1:
            raise InvalidInput(f"Whitening takes 1 ≤ dim ≤ {len(self.values)} here, and 0 ≤ shrink ≤ 1.")
        shrunk = (1 - shrink) * self.values + shrink * self.values.mean()
        # A direction that never varies says nothing; without this floor it would shout.
        whiten = self.vectors / np.sqrt(np.maximum(shrunk, TINY))
        strength, directions = np.linalg.eigh(whiten.T @ self.total @ whiten)
        kept = directions[:, np.argsort(strength)[::-1][:dim]]
        return np.asarray((self.axes @ whiten @ kept).T / self.spread, np.float32)


def within(rows: Table, labels: Sequence[str]) -> Table:
    """Within-class covariance A × A, each class of two pictures or more weighted by its degrees of freedom."""
    _, index, sizes = np.unique(np.asarray(labels), return_inverse=True, return_counts=True)
    freedom = int((sizes - 1).sum())
    if freedom < 1:
        raise InvalidInput("Whitening within classes needs a class of two pictures or more.")
    sums = np.zeros((len(sizes), rows.shape[1]))
    np.add.at(sums, index, rows)
    rest = rows - (sums / sizes[:, None])[index]
    return rest.T @ rest / freedom


def project(rows: FloatArray, mean: FloatArray | Table, projection: FloatArray) -> FloatArray:
    """L2-normalised vectors N × dim, as the head gives them."""
    vectors = ((rows - mean) @ projection.T).astype(np.float32)
    return np.asarray(vectors / (np.linalg.norm(vectors, axis=1, keepdims=True) + 1e-12), np.float32)
