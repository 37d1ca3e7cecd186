"""Which of many subjects are worth an exact look at a query.

A matrix product with 50,000 exemplars of 512 numbers takes 13 ms, most of it spent on reading 100 MB. Along the axes in
which exemplars differ most, an eighth of the numbers tells the likely from the rest; the likely are then weighed as
they would be without this.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from booru_ml.types import FloatArray
from embeddings.types import IntArray

FROM = 4000
"""Exemplars from which the exact product is the slower way."""
SUBJECTS = 256
"""How many are weighed: of 10,000 the three truly nearest were always among them (docs/accuracy.md)."""
AXES = 64
SAMPLE = 8192
"""Exemplars that the axes are found from."""


@dataclass(frozen=True, slots=True, eq=False)
class Shortlist:
    """``axes`` (D, A), orthonormal; ``sketches`` (M, A): the exemplars along them; ``starts`` (N,) as theirs."""

    axes: FloatArray
    sketches: FloatArray
    starts: IntArray

    @classmethod
    def of(cls, exemplars: FloatArray, starts: IntArray, *, like: Shortlist | None = None) -> Shortlist | None:
        """None where there are too few to be worth it. The axes of a former one (``like``) still do after a change."""
        if len(exemplars) < FROM or len(starts) <= SUBJECTS or exemplars.shape[1] <= AXES:
            return None
        axes = like.axes if like is not None and len(like.axes) == exemplars.shape[1] else principal(exemplars)
        return cls(axes, np.ascontiguousarray(exemplars @ axes), starts)

    def likeliest(self, queries: FloatArray) -> IntArray:
        """(Q, SUBJECTS) places of the likeliest subjects of each query, ascending."""
        rough = np.maximum.reduceat((queries @ self.axes) @ self.sketches.T, self.starts, axis=1)
        return np.sort(np.argpartition(-rough, SUBJECTS, axis=1)[:, :SUBJECTS], axis=1)


def principal(exemplars: FloatArray) -> FloatArray:
    """(D, AXES) the axes that hold most of the exemplars' products; of a sample, evenly over all."""
    some = exemplars[:: -(-len(exemplars) // SAMPLE)]
    _, axes = np.linalg.eigh(some.T @ some)
    return np.ascontiguousarray(axes[:, : -AXES - 1 : -1], dtype=np.float32)
