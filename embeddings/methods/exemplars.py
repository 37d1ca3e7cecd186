"""A subject is each of its exemplars and their mean, joined softly, so that several costumes do not blur into one.

(1/b)·log mean exp(b·s) over cosines s is the log-likelihood of a kernel density with von Mises–Fisher kernels; the mean
beside the exemplars keeps one odd picture from ruling. b → 0 averages, b → ∞ takes the nearest.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np

from booru_ml.types import FloatArray
from embeddings.methods.base import Fitted, Method
from embeddings.methods.mean import cosine
from embeddings.types import IntArray


def soft_best(
    exemplars: FloatArray,
    prototype: FloatArray,
    starts: IntArray,
    sharpness: float,
    weights: FloatArray | None = None,
) -> FloatArray:
    """(Q, N) scores (1/b)·log(Σ w·exp(b·s) / Σ w) out of cosines to exemplars (Q, M) and to prototypes (Q, N).

    ``weights`` (M,) are the exemplars', 1 where not given; a prototype has its exemplars' mean weight.
    """
    sizes = np.diff(np.append(starts, exemplars.shape[1]))
    trust = np.ones(exemplars.shape[1], np.float32) if weights is None else weights
    totals = np.add.reduceat(trust, starts)
    top = np.maximum(np.maximum.reduceat(exemplars, starts, axis=1), prototype)
    shifted = trust * np.exp(sharpness * (exemplars - np.repeat(top, sizes, axis=1)))
    own = totals / sizes
    total = np.add.reduceat(shifted, starts, axis=1) + own * np.exp(sharpness * (prototype - top))
    return np.asarray(top + np.log(np.maximum(total / (totals + own), 1e-30)) / sharpness, dtype=np.float32)


@dataclass(frozen=True, slots=True)
class Exemplars(Method):
    name = "exemplars"
    title = "exemplars and mean, log-sum-exp"

    sharpness: float = 10.0

    @classmethod
    def build(cls, *, sharpness: float) -> Self:
        return cls(sharpness)

    def score(self, similar: FloatArray, central: FloatArray, fitted: Fitted) -> FloatArray:
        support = fitted.support
        return soft_best(similar, cosine(central, fitted.means), support.starts, self.sharpness, support.weights)
