"""The detector over the native face library: reduces, tests itself at the start, degrades to "no faces"."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw

from booru_ml.errors import Unavailable
from booru_ml.nn.nvxs import LARGEST_SIDE, SMALLEST_SIDE, find_faces
from booru_ml.types import Box, PixelArray

log = logging.getLogger(__name__)


def drawn_face(side: int = 96) -> PixelArray:
    """A plain drawn face, side×side×3 uint8, that a working detector finds: the self-test's picture."""
    scale = side * 4
    image = Image.new("RGB", (scale, scale), "#f0f0f5")
    pen = ImageDraw.Draw(image)

    def ellipse(x: float, y: float, rx: float, ry: float, fill: str) -> None:
        pen.ellipse([(x - rx) * scale, (y - ry) * scale, (x + rx) * scale, (y + ry) * scale], fill=fill)

    def points(*pairs: tuple[float, float]) -> list[tuple[float, float]]:
        return [(x * scale, y * scale) for x, y in pairs]

    hair, skin, dark = "#5a3c78", "#fae0d0", "#1e1428"
    ellipse(0.5, 0.46, 0.40, 0.42, hair)
    pen.rectangle([*points((0.12, 0.46), (0.88, 0.98))], fill=hair)
    pen.polygon(points((0.42, 0.75), (0.58, 0.75), (0.60, 1), (0.40, 1)), fill="#ebc8b9")
    jaw = points((0.22, 0.45), (0.78, 0.45), (0.76, 0.62), (0.66, 0.78), (0.5, 0.88), (0.34, 0.78), (0.24, 0.62))
    pen.polygon(jaw, fill=skin)
    ellipse(0.5, 0.46, 0.28, 0.24, skin)
    for x in (0.20, 0.32, 0.44, 0.56, 0.68):
        pen.polygon(points((x - 0.02, 0.22), (x + 0.16, 0.22), (x + 0.06, 0.46)), fill=hair)
    for x in (0.36, 0.64):
        ellipse(x, 0.56, 0.085, 0.095, "white")
        ellipse(x, 0.565, 0.065, 0.09, "#3c326e")
        ellipse(x, 0.57, 0.03, 0.05, dark)
        ellipse(x - 0.02, 0.53, 0.022, 0.028, "white")
        lid = points((x - 0.1, 0.50), (x - 0.05, 0.465), (x + 0.05, 0.465), (x + 0.1, 0.50))
        pen.line(lid, fill=dark, width=round(0.022 * scale))
        pen.line(points((x - 0.08, 0.41), (x + 0.08, 0.41)), fill=hair, width=round(0.012 * scale))
    pen.line(points((0.49, 0.67), (0.51, 0.68)), fill="#c8968c", width=round(0.012 * scale))
    pen.arc([*points((0.44, 0.70), (0.56, 0.77))], 20, 160, fill="#aa4646", width=round(0.016 * scale))
    return np.asarray(image.resize((side, side), Image.Resampling.LANCZOS))


class AnimeFaceDetector:
    """Faces by the native library, on canvases reduced to ``size`` pixels (long side).

    It tests itself at the start. Where the library is missing or blind, ``problem`` says so, and every picture simply
    has no faces: the rest of an analysis does not depend on them.
    """

    def __init__(self, size: int = 224) -> None:
        if not SMALLEST_SIDE <= size <= LARGEST_SIDE:
            raise ValueError(f"size must be {SMALLEST_SIDE}–{LARGEST_SIDE} pixels, not {size}")
        self.size = size
        self.problem: str | None = None
        try:
            if not find_faces(drawn_face()):
                self.problem = (
                    "The native face library misses the drawn face of its self-test; no faces are looked for."
                )
        except Unavailable as error:
            self.problem = f"{error.message} No faces are looked for."
        if self.problem:
            log.error(self.problem)

    def detect(self, frames: Sequence[PixelArray]) -> list[list[tuple[Box, float]]]:
        """Faces of each frame (H×W×3 uint8 RGB), the surest first; none where ``problem`` is set."""
        return [[] if self.problem else self._detect(frame) for frame in frames]

    def _detect(self, frame: PixelArray) -> list[tuple[Box, float]]:
        height, width = frame.shape[:2]
        scale = min(1.0, self.size / max(height, width))
        reduced = (max(1, round(width * scale)), max(1, round(height * scale)))
        if min(reduced) < SMALLEST_SIDE:
            return []
        if reduced == (width, height):
            return find_faces(np.ascontiguousarray(frame))
        image = Image.fromarray(frame).resize(reduced, Image.Resampling.BILINEAR, reducing_gap=2.0)
        return find_faces(np.asarray(image))
