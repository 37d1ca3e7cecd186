"""What strangers score: the measure that a query and a subject are held against.

Both sides are looked at, as speaker verification does: what a picture has in common with everybody (T-norm), and what
everybody has in common with a subject (Z-norm; Auckenthaler et al. 2000).
"""

from __future__ import annotations

import numpy as np

from booru_ml.types import FloatArray
from embeddings.chances import Calibration
from embeddings.methods import SupportSet


def standardise(scores: FloatArray, background: FloatArray, calibration: Calibration) -> FloatArray:
    """(Q, N) scores in standard deviations above what this picture has in common with strangers.

    The strangers are the board's own pictures, ``background`` (Q, B), shrunk towards the calibration's constants while
    they are few. Those who are enrolled stand among them: the mean may move by two drifts and the deviation grow by a
    fifth, so that a board full of one character still sees it.
    """
    mean, deviation = _shrunk(background, calibration, reach=2 * calibration.drift, axis=1)
    return np.asarray((scores - mean) / deviation, dtype=np.float32)


def likeness(support: SupportSet, calibration: Calibration) -> FloatArray:
    """(N,) the mean cosine of two exemplars of each subject, in standard deviations above strangers'; NaN for one only.

    Of k vectors of length 1 the pairs' cosines add up to (‖sum‖² − k) / 2.
    """
    if not len(support.starts):
        return np.zeros(0, dtype=np.float32)
    sizes = support.sizes
    sums = np.add.reduceat(support.exemplars, support.starts, axis=0)
    pairs = np.where(sizes > 1, sizes * (sizes - 1), np.nan)
    mean = (np.square(sums).sum(axis=1) - sizes) / pairs
    return np.asarray((mean - calibration.level) / calibration.spread, dtype=np.float32)


def strangeness(scores: FloatArray, calibration: Calibration) -> tuple[FloatArray, FloatArray]:
    """Mean and standard deviation (N,) of what strangers score against each subject, from (B, N).

    The other side of the same coin: a subject with many or with plain pictures is near to everybody, and must
    not be named for that. Shrunk and bounded as in ``standardise``.
    """
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
    share = 1 - calibration.shortage(count)
    level = calibration.level + share * (mean - calibration.level)
    return np.asarray(level, dtype=np.float32), np.asarray(
        np.sqrt(usual + share * (variance - usual)), dtype=np.float32
    )
