"""Few-shot recognition as pure functions: similarities in, honest probabilities out.

A subject is its support vectors (exemplars) and their mean (its prototype; Snell et al. 2017). Arrays: Q queries,
M exemplars, N subjects, B background pictures. Exemplars stand together by subject: ``starts`` (N,) holds the place of
each subject's first one. Vectors are L2-normalised, so products are cosines.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from booru_ml.types import FloatArray
from embeddings.types import IntArray


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """``booru.recognition.<kind>`` of the embedding checkpoint's config.json; the defaults suit no encoder exactly.

    ``sharpness`` b of (1/b)·log mean exp(b·s) over a subject's exemplars and prototype.
    ``level``, ``spread``: mean and standard deviation of a picture's cosines to strangers; ``drift``: how far the mean
    wanders from picture to picture. ``weight``: how many background pictures those two numbers stand for.
    ``floor``: the standardised score that a stranger reaches where no other subject is enrolled.
    ``score``, ``margin``, ``subjects``, ``supports``, ``bias``: P = σ(score·s₁ + margin·(s₁ − s₂) + subjects·log n +
    supports·log k + bias) over standardised scores, n subjects being compared and k exemplars showing this one.
    ``twin``: cosine from which two files show the same picture (re-encoded, resized).
    """

    sharpness: float = 20.0
    level: float = 0.1
    spread: float = 0.1
    drift: float = 0.05
    weight: float = 64.0
    floor: float = 1.0
    score: float = 1.2
    margin: float = 0.8
    subjects: float = -0.5
    supports: float = 0.0
    bias: float = -3.0
    twin: float = 0.985


def _nothing() -> FloatArray:
    return np.zeros((0, 0), dtype=np.float32)


def _nobody() -> IntArray:
    return np.zeros(0, dtype=np.int64)


@dataclass(frozen=True, slots=True, eq=False)
class Supports:
    """What queries are compared with; ``of`` makes what is derived.

    ``exemplars`` (M, D), ``starts`` (N,), ``prototypes`` (N, D); ``negatives`` (K, D) are known not to be the subject
    whose place ``owners`` (K,) holds; ``background`` (B, D) are strangers, and what they score against each subject has
    the mean ``levels`` (N,) and the standard deviation ``spreads`` (N,).
    """

    exemplars: FloatArray = field(default_factory=_nothing)
    starts: IntArray = field(default_factory=_nobody)
    prototypes: FloatArray = field(default_factory=_nothing)
    negatives: FloatArray = field(default_factory=_nothing)
    owners: IntArray = field(default_factory=_nobody)
    background: FloatArray = field(default_factory=_nothing)
    levels: FloatArray = field(default_factory=_nothing)
    spreads: FloatArray = field(default_factory=_nothing)

    @classmethod
    def of(
        cls,
        exemplars: FloatArray,
        starts: IntArray,
        calibration: Calibration,
        *,
        negatives: FloatArray | None = None,
        owners: IntArray | None = None,
        background: FloatArray | None = None,
    ) -> Supports:
        means = prototypes(exemplars, starts)
        strangers = background if background is not None and len(background) and len(starts) else exemplars[:0]
        levels, spreads = strangeness(strangers @ exemplars.T, strangers @ means.T, starts, calibration)
        return cls(
            exemplars=exemplars,
            starts=starts,
            prototypes=means,
            negatives=exemplars[:0] if negatives is None else negatives,
            owners=_nobody() if owners is None else owners,
            background=strangers,
            levels=levels,
            spreads=spreads,
        )

    @property
    def sizes(self) -> IntArray:
        """(N,) how many exemplars each subject has."""
        return np.diff(np.append(self.starts, len(self.exemplars)))

    def span(self, place: int) -> slice:
        """Where the exemplars of the subject at ``place`` are."""
        end = self.starts[place + 1] if place + 1 < len(self.starts) else len(self.exemplars)
        return slice(int(self.starts[place]), int(end))


@dataclass(frozen=True, slots=True, eq=False)
class Weighed:
    """Queries against subjects: ``similar`` (Q, M) cosines; (Q, N) each: raw ``scores``, ``standard`` deviations above
    a stranger, ``lead`` over the best rival, ``vetoed`` pairs and ``chances``, the probabilities."""

    similar: FloatArray
    scores: FloatArray
    standard: FloatArray
    lead: FloatArray
    vetoed: npt.NDArray[np.bool_]
    chances: FloatArray


def weigh(queries: FloatArray, supports: Supports, calibration: Calibration) -> Weighed:
    """Compares L2-normalised queries (Q, D) with at least one subject."""
    similar = queries @ supports.exemplars.T
    scores = soft_best(similar, queries @ supports.prototypes.T, supports.starts, calibration.sharpness)
    forbidden = np.zeros(scores.shape, dtype=bool)
    if len(supports.owners):
        positive = np.maximum.reduceat(similar, supports.starts, axis=1)
        negative = best_of(queries @ supports.negatives.T, supports.owners, scores.shape[1])
        forbidden = vetoed(positive, negative, calibration.twin)
        scores = push_down(scores, positive, negative)
    fair = calibration.level + (scores - supports.levels) * (calibration.spread / supports.spreads)
    standard = standardise(fair.astype(np.float32), queries @ supports.background.T, calibration)
    lead = margins(np.where(forbidden, -np.inf, standard), calibration.floor)
    chances = np.where(forbidden, 0, probability(standard, lead, supports.sizes, calibration))
    return Weighed(similar, scores, standard, lead, forbidden, chances)


def normalise(vectors: FloatArray) -> FloatArray:
    """Rows scaled to length 1; a zero row stays zero."""
    norms = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return np.asarray(vectors / np.maximum(norms, 1e-9), dtype=np.float32)


def prototypes(exemplars: FloatArray, starts: IntArray) -> FloatArray:
    """(N, D): the direction of each subject's mean exemplar."""
    if not len(starts):
        return np.zeros((0, exemplars.shape[-1]), dtype=np.float32)
    return normalise(np.add.reduceat(exemplars, starts, axis=0))


def soft_best(exemplars: FloatArray, prototype: FloatArray, starts: IntArray, sharpness: float) -> FloatArray:
    """(Q, N) scores (1/b)·log mean exp(b·s) out of cosines to exemplars (Q, M) and prototypes (Q, N).

    Between the mean and the best of a subject's looks: several costumes survive, one odd exemplar does not rule.
    """
    top = np.maximum(np.maximum.reduceat(exemplars, starts, axis=1), prototype)
    sizes = np.diff(np.append(starts, exemplars.shape[1]))
    shifted = np.exp(sharpness * (exemplars - np.repeat(top, sizes, axis=1)))
    total = np.add.reduceat(shifted, starts, axis=1) + np.exp(sharpness * (prototype - top))
    return np.asarray(top + np.log(total / (sizes + 1)) / sharpness, dtype=np.float32)


def best_of(similarities: FloatArray, owners: IntArray, count: int) -> FloatArray:
    """(Q, count): for each owner its best column of (Q, K) similarities; -1 where it has none."""
    best = np.full((count, len(similarities)), -1.0, dtype=np.float32)
    np.maximum.at(best, owners, similarities.T)
    return best.T


def push_down(scores: FloatArray, positive: FloatArray, negative: FloatArray) -> FloatArray:
    """(Q, N) scores lowered where a "not this one" is nearer than any exemplar, twice by how much."""
    return np.asarray(scores - 2 * np.maximum(negative - positive, 0), dtype=np.float32)


def vetoed(positive: FloatArray, negative: FloatArray, twin: float) -> npt.NDArray[np.bool_]:
    """(Q, N) whether the query is the very picture that was rejected for the subject, in whatever file."""
    return (negative >= twin) & (negative >= positive)


def standardise(scores: FloatArray, background: FloatArray, calibration: Calibration) -> FloatArray:
    """(Q, N) scores in standard deviations above what this picture has in common with strangers.

    The strangers are the board's own pictures, ``background`` (Q, B), as T-norm does it (Auckenthaler et al. 2000),
    shrunk towards the calibration's constants while they are few. Those who are enrolled stand among them: the mean
    may move by two drifts and the deviation grow by a fifth, so that a board full of one character still sees it.
    """
    mean, deviation = _shrunk(background, calibration, reach=2 * calibration.drift, axis=1)
    return np.asarray((scores - mean) / deviation, dtype=np.float32)


def strangeness(
    exemplars: FloatArray, prototype: FloatArray, starts: IntArray, calibration: Calibration
) -> tuple[FloatArray, FloatArray]:
    """Mean and standard deviation (N,) of what strangers score against each subject, from cosines (B, M) and (B, N).

    The other side of the same coin (Z-norm): a subject with many or with plain pictures is near to everybody, and must
    not be named for that. Shrunk and bounded as in ``standardise``.
    """
    if not len(starts):
        return np.zeros(0, dtype=np.float32), np.ones(0, dtype=np.float32)
    scores = soft_best(exemplars, prototype, starts, calibration.sharpness)
    mean, deviation = _shrunk(scores, calibration, reach=2 * calibration.spread, axis=0)
    return mean[0], deviation[0]


def _shrunk(cosines: FloatArray, calibration: Calibration, *, reach: float, axis: int) -> tuple[FloatArray, FloatArray]:
    """Mean and deviation along ``axis``, bounded, and nearer to the calibration's the fewer cosines there are."""
    count = cosines.shape[axis]
    if not count:
        shape = (cosines.shape[0], 1) if axis else (1, cosines.shape[1])
        full = np.ones(shape, dtype=np.float32)
        return full * np.float32(calibration.level), full * np.float32(calibration.spread)
    mean = np.clip(cosines.mean(axis=axis, keepdims=True), calibration.level - reach, calibration.level + reach)
    usual = calibration.spread**2
    variance = np.clip(cosines.var(axis=axis, keepdims=True), 0.25 * usual, 1.44 * usual)
    share = count / (count + calibration.weight)
    level = calibration.level + share * (mean - calibration.level)
    return np.asarray(level, dtype=np.float32), np.asarray(
        np.sqrt(usual + share * (variance - usual)), dtype=np.float32
    )


def margins(scores: FloatArray, floor: float) -> FloatArray:
    """(Q, N): each subject's lead over the best other one, or over ``floor`` where that is higher."""
    queries, count = scores.shape
    if count < 2:
        return scores - floor
    order = np.argsort(scores, axis=1)
    rows = np.arange(queries)
    first, second = order[:, -1], order[:, -2]
    rival = np.repeat(scores[rows, first][:, None], count, axis=1)
    rival[rows, first] = scores[rows, second]
    return scores - np.maximum(rival, floor)


def probability(scores: FloatArray, lead: FloatArray, sizes: IntArray, calibration: Calibration) -> FloatArray:
    """(Q, N) logistic probability that the subject is in the picture, from standardised scores and margins.

    ``sizes`` (N,): how many exemplars each subject has.
    """
    logits = (
        calibration.score * scores
        + calibration.margin * lead
        + calibration.subjects * np.log(max(scores.shape[1], 1))
        + calibration.supports * np.log(np.maximum(sizes, 1))
        + calibration.bias
    )
    return np.asarray(1 / (1 + np.exp(-np.clip(logits, -60, 60))), dtype=np.float32)
