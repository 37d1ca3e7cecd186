"""Probabilities that were found to mean what they say: a monotone map of a head's scores, kept with the checkpoint."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from booru_ml.checkpoint import HeadKind

if TYPE_CHECKING:
    from booru_ml.checkpoint import Checkpoint
    from booru_ml.checkpoint.labels import Curve
    from booru_ml.types import FloatArray


def calibrated(checkpoint: Checkpoint, head: str, rows: FloatArray) -> FloatArray:
    """Rows × labels of the head's probabilities as they are served; the same where nothing was calibrated.

    After the session and not within it: a steep piece of a curve would magnify what routes differ by.
    """
    curve = checkpoint.calibration.get(head)
    return rows if curve is None else by_curve(curve, rows, checkpoint.heads[head].kind).astype(np.float32)


def by_curve(curve: Curve, rows: npt.NDArray[np.floating[Any]], kind: HeadKind) -> npt.NDArray[np.float64]:
    """Rows × labels after the curve; of labels that exclude each other the row's order stays, and its sum is one."""
    said: npt.NDArray[np.float64] = np.interp(rows, *curve)
    if kind is not HeadKind.SIGMOID:
        said /= said.sum(axis=1, keepdims=True)
    return said
