"""Pictures made on the spot, and how to read what became of them."""

from __future__ import annotations

import io
import struct
import zlib
from typing import Any

import numpy as np
from PIL import Image

from booru_ml.types import Picture

RED, GREEN, BLUE, WHITE, BLACK = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255), (0, 0, 0)
FORMATS = ["JPEG", "PNG", "GIF", "WEBP", "AVIF"]
LOSSLESS: dict[str, dict[str, Any]] = {
    "PNG": {},
    "WEBP": {"lossless": True},
    "AVIF": {"quality": 100, "subsampling": "4:4:4"},
    "JPEG": {"quality": 100, "subsampling": 0},
}


def quarters(*, size: tuple[int, int] = (48, 32)) -> Image.Image:
    """Red and green above blue and white."""
    image = Image.new("RGB", size, RED)
    half_w, half_h = size[0] // 2, size[1] // 2
    image.paste(GREEN, (half_w, 0, *size))
    image.paste(BLUE, (0, half_h, half_w, size[1]))
    image.paste(WHITE, (half_w, half_h, *size))
    return image


def corners(picture: Picture, frame: int = 0) -> list[tuple[int, ...]]:
    """Colours well inside the four quarters: top left, top right, bottom left, bottom right."""
    pixels = picture.frames[frame]
    height, width, _ = pixels.shape
    return [
        tuple(int(value) for value in pixels[int(y * height), int(x * width)])
        for y in (0.25, 0.75)
        for x in (0.25, 0.75)
    ]


def assert_near(found: Any, expected: Any, within: int = 6) -> None:
    assert np.abs(np.asarray(found, int) - np.asarray(expected, int)).max() <= within, (found, expected)


def encoded(image: Image.Image, kind: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def png(header: tuple[int, int, int, int], *chunks: tuple[bytes, bytes]) -> bytes:
    """A PNG from (width, height, depth, colour type) and its further chunks."""
    ihdr = struct.pack(">IIBBBBB", *header, 0, 0, 0)
    parts = [(b"IHDR", ihdr), *chunks, (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body)) for kind, body in parts
    )
