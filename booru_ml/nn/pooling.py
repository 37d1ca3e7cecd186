"""How the frames of an animation become one answer."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from booru_ml.checkpoint import Pool

if TYPE_CHECKING:
    from booru_ml.checkpoint import Head
    from booru_ml.types import FloatArray


def direction(rows: FloatArray) -> FloatArray:
    """The mean direction of L2-normalised rows (frames × D), L2-normalised (D,)."""
    mean = rows.mean(axis=0, dtype=np.float32)
    length = float(np.linalg.norm(mean))
    return np.asarray(mean / length if length > 1e-12 else rows[0], np.float32)


def scores(head: Head, rows: FloatArray) -> FloatArray:
    """One row (labels,) out of frames × labels: their mean, their maximum, or the row of the most severe frame."""
    if len(rows) == 1 or head.pool is Pool.WORST:
        worst = int(np.argmax(rows @ np.asarray(head.severity, np.float32))) if len(rows) > 1 else 0
        return np.asarray(rows[worst], np.float32)
    return np.asarray(rows.max(axis=0) if head.pool is Pool.MAX else rows.mean(axis=0), np.float32)
