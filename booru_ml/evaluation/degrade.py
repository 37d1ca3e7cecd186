"""Drawings made worse by degrees, for a scale whose truth is known. Synthetic: no person has judged them.

Grey first, so that colour is no evidence. Shaky lines, gaps and stray strokes, in a mixture that is each picture's own.
"""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw

from booru_ml.types import PixelArray

GRADES = ("as drawn", "slightly worse", "worse", "much worse", "spoilt")
"""Best first."""
SHAKE, GAPS, STROKES = 0.045, 0.30, 14.0
"""At full strength: displacement as a share of the longer side, share of the area that is blotted out, strokes."""


def degrade(frame: PixelArray, grade: int, random: np.random.Generator) -> PixelArray:
    """The frame in grey, as spoilt as ``grade``; grade 0 only turns it grey."""
    grey = np.asarray(Image.fromarray(frame).convert("L"), np.float32)
    # Drawn for every grade alike, so that the grades of one picture differ in strength, not in kind.
    mixture = random.uniform(0.5, 1.0, 3)
    shake, gaps, strokes = mixture / mixture.max() * grade / (len(GRADES) - 1)
    if grade:
        grey = _shaken(grey, SHAKE * shake, random)
        grey = _with_gaps(grey, GAPS * gaps, random)
        grey = _with_strokes(grey, round(STROKES * strokes), random)
    return np.repeat(np.clip(grey, 0, 255).astype(np.uint8)[..., None], 3, axis=2)


def _shaken(grey: np.ndarray, strength: float, random: np.random.Generator) -> np.ndarray:
    """Every point moved by a smooth random field (elastic distortion, Simard et al. 2003)."""
    from scipy.ndimage import gaussian_filter, map_coordinates

    side = max(grey.shape)
    fields = [gaussian_filter(random.standard_normal(grey.shape), side / 40) for _ in range(2)]
    moves = [field / (np.abs(field).max() + 1e-9) * strength * side for field in fields]
    places = np.meshgrid(*(np.arange(length) for length in grey.shape), indexing="ij")
    coordinates = [place + move for place, move in zip(places, moves, strict=True)]
    return np.asarray(map_coordinates(grey, coordinates, order=1, mode="nearest"))


def _with_gaps(grey: np.ndarray, share: float, random: np.random.Generator) -> np.ndarray:
    """Small blots of paper over ``share`` of the area."""
    paper = float(np.percentile(grey, 90))
    radius = max(1.0, max(grey.shape) / 50)
    image = Image.fromarray(grey.astype(np.uint8))
    pen = ImageDraw.Draw(image)
    for _ in range(round(share * grey.size / (np.pi * radius**2))):
        y, x = random.uniform(0, 1, 2) * grey.shape
        pen.ellipse((x - radius, y - radius, x + radius, y + radius), fill=round(paper))
    return np.asarray(image, np.float32)


def _with_strokes(grey: np.ndarray, count: int, random: np.random.Generator) -> np.ndarray:
    """Dark strokes that belong to nothing."""
    ink = float(np.percentile(grey, 5))
    height, width = grey.shape
    image = Image.fromarray(grey.astype(np.uint8))
    pen = ImageDraw.Draw(image)
    for _ in range(count):
        start = random.uniform(0, 1, 2) * (width, height)
        bends = np.cumsum(random.normal(0, max(grey.shape) / 12, (4, 2)), axis=0) + start
        pen.line([tuple(start), *map(tuple, bends)], fill=round(ink), width=max(1, max(grey.shape) // 120))
    return np.asarray(image, np.float32)
