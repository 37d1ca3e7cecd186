"""What every few-shot method is: fitted on support pictures, it scores queries."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from typing import ClassVar, Self

import numpy as np

from booru_ml.types import FloatArray
from embeddings.types import IntArray


@dataclass(frozen=True, slots=True, eq=False)
class SupportSet:
    """N subjects' exemplars (M, D), L2-normalised, which stand together by subject.

    ``starts`` (N,): the place of each subject's first one. ``weights`` (M,): how far each is trusted, above 0.
    ``background`` (B, D): strangers, for methods that look at what all pictures have in common; may be empty.
    """

    exemplars: FloatArray
    starts: IntArray
    weights: FloatArray
    background: FloatArray

    @classmethod
    def of(
        cls,
        exemplars: FloatArray,
        starts: IntArray,
        *,
        weights: FloatArray | None = None,
        background: FloatArray | None = None,
    ) -> Self:
        """Everybody is trusted alike where no weights are given. Raises ``ValueError`` for shapes that do not fit."""
        trust = np.ones(len(exemplars), np.float32) if weights is None else np.asarray(weights, np.float32)
        if trust.shape != (len(exemplars),) or (len(trust) and not trust.min() > 0):
            raise ValueError("each exemplar needs one weight above 0")
        if len(starts) and (starts[0] != 0 or (np.diff(np.append(starts, len(exemplars))) < 1).any()):
            raise ValueError("each subject needs an exemplar, and its place must follow the one before")
        strangers = background if background is not None and len(background) else exemplars[:0]
        return cls(exemplars, starts, trust, strangers)

    @property
    def sizes(self) -> IntArray:
        """(N,) how many exemplars each subject has."""
        return np.diff(np.append(self.starts, len(self.exemplars)))

    @property
    def owners(self) -> IntArray:
        """(M,) the subject of each exemplar."""
        return np.repeat(np.arange(len(self.starts)), self.sizes)

    def means(self) -> FloatArray:
        """(N, D) each subject's weighted mean exemplar, not normalised: its prototype (Snell et al. 2017)."""
        if not len(self.starts):
            return np.zeros((0, self.exemplars.shape[-1]), np.float32)
        totals = np.add.reduceat(self.weights, self.starts)
        alike = bool((self.weights == 1).all())  # a large table is not copied for nothing
        weighed = self.exemplars if alike else self.exemplars * self.weights[:, None]
        sums = np.add.reduceat(weighed, self.starts, axis=0)
        return np.asarray(sums / totals[:, None], np.float32)


@dataclass(frozen=True, slots=True, eq=False)
class Projection:
    """z = L2(T·L2(x − centre)): into the space in which a method compares. Without either it leaves vectors alone."""

    centre: FloatArray | None = None
    matrix: FloatArray | None = None

    @property
    def leaves_alone(self) -> bool:
        return self.centre is None and self.matrix is None

    def __call__(self, vectors: FloatArray) -> FloatArray:
        """(N, D) L2-normalised → the same."""
        if self.centre is not None:
            vectors = normalise(vectors - self.centre)
        return vectors if self.matrix is None else normalise(vectors @ self.matrix.T)


@dataclass(frozen=True, slots=True, eq=False)
class Fitted:
    """A method that knows its subjects. ``support`` is projected already; ``means`` (N, D) are its prototypes."""

    method: Method
    projection: Projection
    support: SupportSet
    means: FloatArray

    def score(self, queries: FloatArray) -> FloatArray:
        """(Q, N) of raw queries (Q, D): how well each subject fits; a cosine, or like one in scale."""
        projected = self.projection(queries)
        return self.method.score(projected @ self.support.exemplars.T, projected @ self.means.T, self)

    def take(self, places: IntArray) -> Fitted:
        """The same with these subjects (K,) only."""
        sizes = self.support.sizes[places]
        starts = np.cumsum(sizes) - sizes
        rows = np.repeat(self.support.starts[places] - starts, sizes) + np.arange(sizes.sum())
        support = replace(
            self.support, exemplars=self.support.exemplars[rows], starts=starts, weights=self.support.weights[rows]
        )
        return replace(self, support=support, means=self.means[places])


class Method(ABC):
    """A rule of comparison. ``title`` says whose it is."""

    name: ClassVar[str]
    title: ClassVar[str]

    @classmethod
    def build(cls, *, sharpness: float) -> Self:
        """With the constants of a calibration, of which a method takes what it has a use for."""
        return cls()

    def fit(self, support: SupportSet) -> Fitted:
        """Learns from the support pictures. Nothing is trained: it is arithmetic of milliseconds."""
        projection = self.projection(support)
        projected = replace(support, exemplars=projection(support.exemplars), background=projection(support.background))
        return Fitted(self, projection, projected, projected.means())

    def projection(self, support: SupportSet) -> Projection:
        return Projection()

    @abstractmethod
    def score(self, similar: FloatArray, central: FloatArray, fitted: Fitted) -> FloatArray:
        """(Q, N) out of products with exemplars (Q, M) and with means (Q, N)."""


def normalise(vectors: FloatArray) -> FloatArray:
    """Rows scaled to length 1; a zero row stays zero."""
    norms = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return np.asarray(vectors / np.maximum(norms, 1e-9), dtype=np.float32)
