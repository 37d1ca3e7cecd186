"""How good scores are where some of what is asked about is unknown."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from booru_ml.types import FloatArray

Flags = npt.NDArray[np.bool_]
Values = FloatArray | npt.NDArray[np.float64]


def auroc(high: Values, low: Values) -> float:
    """The chance that one of ``high`` exceeds one of ``low``, ties counting half."""
    if not len(high) or not len(low):
        return float("nan")
    ordered = np.sort(low)
    below, upto = np.searchsorted(ordered, high, "left"), np.searchsorted(ordered, high, "right")
    return float((below + upto).mean() / 2 / len(low))


def bar_for(strangers: Values, rate: float) -> float:
    """The score that no more than a share ``rate`` of strangers exceeds."""
    ordered = np.sort(strangers)[::-1]
    return float(ordered[int(rate * len(ordered))])


def tpr_at_fpr(known: Values, strangers: Values, rate: float) -> float:
    """The share of known ones that exceed the bar which only a share ``rate`` of strangers does."""
    return float((known > bar_for(strangers, rate)).mean())


def oscr(known: Values, correct: Flags, strangers: Values) -> float:
    """Area under the curve of correct answers among the known against the share of strangers named, as the bar falls
    (Dhamija et al., "Reducing Network Agnostophobia", 2018). ``correct`` (K,): whether the first place was right."""
    bars = np.sort(np.unique(np.concatenate([known, strangers])))[::-1]
    right, ordered = np.sort(known[correct]), np.sort(strangers)
    rates = np.concatenate([[0.0], 1 - np.searchsorted(ordered, bars, "left") / len(ordered)])
    shares = np.concatenate([[0.0], (len(right) - np.searchsorted(right, bars, "left")) / len(known)])
    return float(np.trapezoid(shares, rates))
