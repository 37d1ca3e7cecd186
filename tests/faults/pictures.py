"""Files to upload: each differs from every other, so that none is taken for a duplicate."""

from __future__ import annotations

import io
import itertools
import random
from functools import cache

from PIL import Image, PngImagePlugin

from deploy.demo.artist import draw

Colour = tuple[int, int, int]
_numbers = itertools.count(random.SystemRandom().randrange(2**40))


def plain(colour: Colour = (0, 128, 0)) -> bytes:
    """A small PNG of one colour."""
    return _png(Image.new("RGB", (24, 16), colour))


def drawing(kinds: int = 24) -> bytes:
    """A small drawing by the procedural artist."""
    return _png(_drawn(next(_numbers) % kinds))


def heavy() -> bytes:
    """A picture whose decoding takes long enough to be caught at it."""
    comment = b"\xff\xfe" + (10).to_bytes(2, "big") + next(_numbers).to_bytes(8, "big")
    return _noise()[:2] + comment + _noise()[2:]


@cache
def _noise() -> bytes:
    buffer = io.BytesIO()
    Image.effect_noise((5000, 5000), 90).convert("RGB").save(buffer, "JPEG", quality=92, progressive=True)
    return buffer.getvalue()


@cache
def _drawn(number: int) -> Image.Image:
    return draw(character=number % 7, pose=number % 3, artist=1 + number % 4, size=(160, 224), seed=number).image


def _png(image: Image.Image) -> bytes:
    said = PngImagePlugin.PngInfo()
    said.add_text("number", str(next(_numbers)))
    buffer = io.BytesIO()
    image.save(buffer, "PNG", pnginfo=said, compress_level=1)
    return buffer.getvalue()
