"""Other looks at the same drawing: what a head must not mind, made for training and for measuring whether it does."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from PIL import Image

from booru_ml.types import PixelArray

PLAIN = 12.0
"""Standard deviation of grey (0–255) under which a crop shows nothing and is dropped."""


def varied(frame: PixelArray, random: np.random.Generator) -> PixelArray:
    """A part of the frame as often as not, perhaps grey, perhaps reduced."""
    image = Image.fromarray(frame)
    if random.random() < 0.7:
        image = _part(image, random)
    if random.random() < 0.5:
        image = image.convert("L").convert("RGB")
    if random.random() < 0.5:
        image = _reduced(image, int(random.integers(160, 513)))
    return np.asarray(image)


def _part(image: Image.Image, random: np.random.Generator) -> Image.Image:
    """40–90 % of each side about the middle; parts that show nothing are tried again, then given up."""
    for _ in range(8):
        across = random.uniform(0.4, 0.9)
        down = float(np.clip(across * random.uniform(0.75, 1.33), 0.4, 0.9))
        left, top = (float(np.clip(random.uniform(0.3, 0.7) - side / 2, 0, 1 - side)) for side in (across, down))
        edges = np.array([left, top, left + across, top + down]) * (image.size * 2)
        part = image.crop(tuple(edges.astype(int)))
        if np.asarray(part.convert("L")).std() > PLAIN:
            return part
    return image


def _reduced(image: Image.Image, side: int) -> Image.Image:
    """Long side at most ``side`` pixels."""
    scale = side / max(image.size)
    if scale >= 1:
        return image
    return image.resize((max(1, round(image.width * scale)), max(1, round(image.height * scale))))


def grey(frame: PixelArray) -> PixelArray:
    return np.asarray(Image.fromarray(frame).convert("L").convert("RGB"))


def _middle(frame: PixelArray) -> PixelArray:
    height, width = frame.shape[:2]
    return frame[height // 5 : height - height // 5, width // 5 : width - width // 5]


def _small(frame: PixelArray) -> PixelArray:
    return np.asarray(_reduced(Image.fromarray(frame), 256))


FIXED: Mapping[str, Callable[[PixelArray], PixelArray]] = {
    "grey": grey,
    "middle 60 %": _middle,
    "256 pixels": _small,
}
"""Looks at which a grade should stay what it is."""
