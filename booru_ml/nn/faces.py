"""Finding faces: what a detector is, and the light heat-map head that reads faces off the backbone's own features.

The heat-map head follows CenterNet (Zhou et al., "Objects as Points", 2019): one map of face centres and the box sizes
at them. Reading it is plain numpy, whatever ran the network.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np

from booru_ml.types import Box, FloatArray, PixelArray

Detection = tuple[Box, float]


class FaceDetector(Protocol):
    """Finds faces in pixels by itself, beside the networks."""

    problem: str | None
    """Why no faces are looked for, for people; None while all is well."""

    def detect(self, frames: Sequence[PixelArray]) -> list[list[Detection]]:
        """Boxes (fractions of each frame) and scores (0–1) of each H×W×3 uint8 RGB frame, the surest first."""
        ...


def read_heatmaps(
    maps: FloatArray, *, threshold: float = 0.3, most: int = 16, overlap: float = 0.3
) -> list[list[Detection]]:
    """Faces from the heat-map head's output.

    ``maps``: N×3×H×W. Channel 0 holds logits of "a face is centred in this cell"; channels 1 and 2 hold the logarithms
    of the box's width and height in cells at that centre. A peak is the largest of its 3×3 neighbourhood; its place
    within the cell comes from a parabola through its neighbours. Boxes are fractions of the map, clipped to it.
    """
    if maps.ndim != 4 or maps.shape[1] != 3:
        raise ValueError(f"heat maps must be N×3×H×W, not {maps.shape}")
    return [_read_one(one, threshold, most, overlap) for one in maps]


def _read_one(maps: FloatArray, threshold: float, most: int, overlap: float) -> list[Detection]:
    logits = maps[0]
    rows, columns = logits.shape
    padded = np.pad(logits, 1, constant_values=-np.inf)
    around = np.lib.stride_tricks.sliding_window_view(padded, (3, 3)).max(axis=(2, 3))
    scores = 1.0 / (1.0 + np.exp(-np.clip(logits, -30, 30)))
    ys, xs = np.nonzero((logits >= around) & (scores >= threshold))
    strongest = np.argsort(-scores[ys, xs], kind="stable")[: 4 * most]
    found: list[Detection] = []
    for y, x in zip(ys[strongest], xs[strongest], strict=True):
        centre_x = x + 0.5 + _vertex(padded[y + 1, x : x + 3])
        centre_y = y + 0.5 + _vertex(padded[y : y + 3, x + 1])
        width, height = np.exp(np.clip(maps[1:, y, x], -4.0, 8.0))
        box = clipped(centre_x / columns, centre_y / rows, float(width) / columns, float(height) / rows)
        if all(intersection_over_union(box, other) <= overlap for other, _ in found):
            found.append((box, float(scores[y, x])))
        if len(found) == most:
            break
    return found


def _vertex(values: FloatArray) -> float:
    """Where the parabola through three equally spaced values has its top, −0.5–0.5 from the middle one."""
    left, middle, right = (float(value) for value in values)
    if not (np.isfinite(left) and np.isfinite(right)):
        return 0.0
    curve = left - 2.0 * middle + right
    return 0.0 if curve >= -1e-6 else max(-0.5, min(0.5, 0.5 * (left - right) / curve))


def clipped(x: float, y: float, width: float, height: float) -> Box:
    """The box of this centre and size (fractions), cut at the picture's edges."""
    left, top = max(0.0, x - width / 2), max(0.0, y - height / 2)
    right, bottom = min(1.0, x + width / 2), min(1.0, y + height / 2)
    # Coarser than the runtimes' rounding: all of them shall crop the same pixels.
    return Box(*(round(side, 4) for side in (left, top, max(0.0, right - left), max(0.0, bottom - top))))


def intersection_over_union(one: Box, other: Box) -> float:
    across = min(one.x + one.width, other.x + other.width) - max(one.x, other.x)
    down = min(one.y + one.height, other.y + other.height) - max(one.y, other.y)
    shared = max(0.0, across) * max(0.0, down)
    union = one.width * one.height + other.width * other.height - shared
    return shared / union if union > 0 else 0.0
