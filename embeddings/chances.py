"""What a score is worth: the constants of one space of vectors, and the probability that they make of a score."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from booru_ml.types import FloatArray
from embeddings.types import IntArray


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """``booru.recognition.<kind>`` of the embedding checkpoint's config.json; the defaults suit no encoder exactly.

    ``method``: the name of one of ``embeddings.methods``; ``sharpness``: its b, where it is ``exemplars``.
    ``level``, ``spread``: mean and standard deviation of a picture's cosines to strangers; ``drift``: how far the mean
    wanders from picture to picture. ``weight``: how many background pictures those two numbers stand for.
    ``floor``: the standardised score that a stranger reaches where no other subject is enrolled.
    ``score``, ``margin``, ``subjects``, ``supports``, ``bias``: P = σ(score·s₁ + margin·(s₁ − s₂) + subjects·log n +
    supports·log k + bias) over standardised scores, n subjects being compared and k exemplars showing this one.
    ``alike``, ``single``: alike·a is added, a being how many standard deviations above strangers' the mean cosine of
    two exemplars of this one is, or ``single`` where it has one only: where they differ, less is asked of a picture.
    ``blind``, ``blur``: blind + blur·s₁ is added where there is no background to see what strangers are like, and in
    proportion to ``shortage`` where there is little.
    ``bar10`` … ``bar1``: the probability that 10, 5, 2 and 1 % of strangers reach.
    ``twin``: cosine from which two files show the same picture (re-encoded, resized).
    """

    method: str = "exemplars"
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
    alike: float = 0.0
    single: float = 0.0
    blind: float = 0.0
    blur: float = 0.0
    bar10: float = 0.3
    bar5: float = 0.45
    bar2: float = 0.65
    bar1: float = 0.75
    twin: float = 0.985

    def shortage(self, background: int) -> float:
        """1 where there are no background pictures to measure strangers by, towards 0 the more there are."""
        return self.weight / (self.weight + background)

    def bar(self, rate: float) -> float:
        """The probability from which no more than a share ``rate`` (0–1) of strangers would be named.

        Between the measured shares it is read off a straight line through their logarithms; beyond them, the odds of a
        stranger's being named fall or rise in proportion.
        """
        known = np.log([share for share, _ in BARS])
        odds = [logit(getattr(self, name)) for _, name in BARS]
        wanted = float(np.log(min(max(rate, 1e-6), 1.0)))
        inside = float(np.interp(wanted, known[::-1], odds[::-1]))
        beyond = min(wanted - known[-1], 0.0) + max(wanted - known[0], 0.0)
        return float(1 / (1 + np.exp(beyond - inside)))


BARS = ((0.1, "bar10"), (0.05, "bar5"), (0.02, "bar2"), (0.01, "bar1"))
"""Shares of strangers, and the constants that say which probability they reach."""


def logit(chance: float) -> float:
    return float(np.log(max(chance, 1e-6) / max(1 - chance, 1e-6)))


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


def probability(
    scores: FloatArray,
    lead: FloatArray,
    sizes: IntArray,
    alike: FloatArray,
    calibration: Calibration,
    *,
    count: int,
    shortage: float,
) -> FloatArray:
    """(Q, N) logistic probability that the subject is in the picture, from standardised scores and margins.

    ``sizes``, ``alike`` (N,): how many exemplars each subject has, and how alike they are; ``count``: how many
    subjects there are.
    """
    logits = (
        (calibration.score + calibration.blur * shortage) * scores
        + calibration.margin * lead
        + calibration.subjects * np.log(max(count, 1))
        + calibration.supports * np.log(np.maximum(sizes, 1))
        + calibration.bias
        + np.where(np.isnan(alike), calibration.single, calibration.alike * alike)
        + calibration.blind * shortage
    )
    return np.asarray(1 / (1 + np.exp(-np.clip(logits, -60, 60))), dtype=np.float32)
