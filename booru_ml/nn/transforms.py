"""From a frame to the network's input, by numpy and Pillow alone: the same pixels for every runtime."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from booru_ml.types import Box, FloatArray, PixelArray

if TYPE_CHECKING:
    from booru_ml.checkpoint import Preprocess

_FILTERS = {
    "nearest": Image.Resampling.NEAREST,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}

# Block averages down to twice the target first: a fraction of the time, and no visible difference.
GAP: float | None = 2.0


def shape_key(preprocess: Preprocess) -> tuple[int, int, str, str, float]:
    """Checkpoints with equal keys share the resized pixels of ``fit``."""
    return (
        preprocess.width,
        preprocess.height,
        preprocess.resize,
        preprocess.interpolation,
        preprocess.crop_pct if preprocess.resize == "crop" else 1.0,
    )


def fit(frame: PixelArray, preprocess: Preprocess) -> PixelArray:
    """The frame (H×W×3 uint8 RGB) at the network's size, height×width×3 uint8 RGB."""
    image = Image.fromarray(frame)
    size = (preprocess.width, preprocess.height)
    how = _FILTERS[preprocess.interpolation]
    if preprocess.resize == "pad":
        side = max(image.size)
        square = Image.new("RGB", (side, side), "white")
        square.paste(image, ((side - image.width) // 2, (side - image.height) // 2))
        return np.asarray(square.resize(size, how, reducing_gap=GAP))
    if preprocess.resize == "crop":
        scale = max(size[0] / image.width, size[1] / image.height) / preprocess.crop_pct
        across, down = size[0] / scale, size[1] / scale
        left, top = (image.width - across) / 2, (image.height - down) / 2
        return np.asarray(image.resize(size, how, box=(left, top, left + across, top + down), reducing_gap=GAP))
    return np.asarray(image.resize(size, how, reducing_gap=GAP))


def normalise(batch: Sequence[PixelArray], preprocess: Preprocess) -> FloatArray:
    """Fitted frames as N×3×height×width float32: scaled to 0–1, in the network's channel order, less mean, by std."""
    mean = (np.asarray(preprocess.mean, np.float32) * np.float32(255))[:, None, None]
    scale = np.float32(1) / (np.asarray(preprocess.std, np.float32) * np.float32(255))
    out = np.empty((len(batch), 3, preprocess.height, preprocess.width), np.float32)
    for row, pixels in zip(out, batch, strict=True):
        # Planes first, sums after: arithmetic in strides of three takes ten times as long.
        row[:] = (pixels[..., ::-1] if preprocess.channels == "BGR" else pixels).transpose(2, 0, 1)
    out -= mean
    out *= scale[:, None, None]
    return out


def crop_square(frame: PixelArray, box: Box, margin: float) -> PixelArray:
    """A square around the box, its side the box's longer side × ``margin``, white where it leaves the frame.

    A view of the frame where it lies inside."""
    height, width = frame.shape[:2]
    side = max(1, round(max(box.width * width, box.height * height) * margin))
    side = min(side, 2 * max(width, height))
    left = round((box.x + box.width / 2) * width - side / 2)
    top = round((box.y + box.height / 2) * height - side / 2)
    x0, x1 = max(0, left), min(width, left + side)
    y0, y1 = max(0, top), min(height, top + side)
    if (x1 - x0, y1 - y0) == (side, side):
        return frame[y0:y1, x0:x1]
    square = np.full((side, side, 3), 255, np.uint8)
    if x0 < x1 and y0 < y1:
        square[y0 - top : y1 - top, x0 - left : x1 - left] = frame[y0:y1, x0:x1]
    return square
