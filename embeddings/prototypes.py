"""Few-shot recognition as pure functions: similarities in, honest probabilities out.

A subject is its support vectors (exemplars) and their mean (its prototype; Snell et al. 2017). Arrays: Q queries,
M exemplars, N subjects, B background pictures. Exemplars stand together by subject: ``starts`` (N,) holds the place of
each subject's first one. Vectors are L2-normalised, so products are cosines.
"""

from __future__ import annotations

from dataclasses import dataclass

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
    ``score``, ``margin``, ``subjects``, ``bias``: P = σ(score·s₁ + margin·(s₁ − s₂) + subjects·log n + bias) over
    standardised scores, n subjects being compared.
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
    bias: float = -3.0
    twin: float = 0.985


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
    own = background.shape[1]
    level = np.full((len(scores), 1), calibration.level, dtype=np.float32)
    variance = np.full((len(scores), 1), calibration.spread**2, dtype=np.float32)
    if own:
        reach = 2 * calibration.drift
        mean = np.clip(background.mean(axis=1, keepdims=True), calibration.level - reach, calibration.level + reach)
        seen = np.minimum(background.var(axis=1, keepdims=True), 1.44 * calibration.spread**2)
        share = own / (own + calibration.weight)
        level += share * (mean - level)
        variance += share * (seen - variance)
    return np.asarray((scores - level) / np.sqrt(variance), dtype=np.float32)


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


def probability(scores: FloatArray, lead: FloatArray, calibration: Calibration) -> FloatArray:
    """(Q, N) logistic probability that the subject is in the picture, from standardised scores and margins."""
    count = max(scores.shape[1], 1)
    logits = (
        calibration.score * scores + calibration.margin * lead + calibration.subjects * np.log(count) + calibration.bias
    )
    return np.asarray(1 / (1 + np.exp(-np.clip(logits, -60, 60))), dtype=np.float32)
