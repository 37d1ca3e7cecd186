"""Small pictures of odd shapes for the engine's contract."""

from __future__ import annotations

import numpy as np

from booru_ml.types import Picture, PixelArray


def picture(*frames: PixelArray) -> Picture:
    height, width = frames[0].shape[:2]
    return Picture(frames=frames, width=width, height=height, frame_count=len(frames), format="png", sha256="0" * 64)


def ramp(height: int, width: int) -> PixelArray:
    rows, columns = np.mgrid[0:height, 0:width]
    return np.stack([rows % 256, columns % 256, (rows + columns) // 2 % 256], axis=-1).astype(np.uint8)


def blocks(height: int, width: int, seed: int) -> PixelArray:
    colours = np.random.default_rng(seed).integers(0, 256, (7, 5, 3))
    return np.kron(colours, np.ones((-(-height // 7), -(-width // 5), 1)))[:height, :width].astype(np.uint8)


def noise(height: int, width: int, seed: int) -> PixelArray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3)).astype(np.uint8)


def grey(height: int, width: int) -> PixelArray:
    return np.repeat(ramp(height, width)[..., :1], 3, axis=-1).copy()


def with_face() -> PixelArray:
    """A plain drawn face, a little off the middle of a larger canvas."""
    from booru_ml.nn.animeface import drawn_face

    canvas = np.full((300, 220, 3), 235, np.uint8)
    canvas[90:218, 40:168] = drawn_face(128)
    return canvas


def everything() -> list[Picture]:
    """Odd sizes, one pixel, slivers, grey, animations, a face."""
    return [
        picture(ramp(300, 211)),
        picture(noise(1, 1, 1)),
        picture(blocks(7, 640, 2)),
        picture(blocks(640, 7, 3)),
        picture(grey(123, 457)),
        picture(blocks(90, 120, 4), noise(90, 120, 5), ramp(90, 120)),
        picture(with_face()),
        picture(ramp(64, 64), with_face()),
    ]
