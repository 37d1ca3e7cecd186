"""The quick way to a PNG's pixels gives what Pillow gives, or leaves the picture to it."""

from __future__ import annotations

import io
import random
import struct
import zlib
from collections.abc import Iterator

import numpy as np
import pytest
from PIL import Image, ImageFile

from booru_ml.pipeline.images import Limits, decode
from booru_ml.pipeline.images import png as quick
from booru_ml.pipeline.images.refusals import Refused
from booru_ml.types import PixelArray
from tests.booru_ml.images.pictures import encoded, png

LIMITS = Limits()
COLOURS = {"L": 0, "RGB": 2, "RGBA": 6}
ADAM7 = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))


def noise(mode: str, *, size: tuple[int, int] = (53, 31)) -> Image.Image:
    """Steep and smooth parts, so that every filter of the format has its rows."""
    width, height = size
    channels = len(mode)
    ramp = np.add.outer(np.arange(height), 3 * np.arange(width))[..., None] * (1 + np.arange(channels))
    pixels = (ramp + np.random.default_rng(0).integers(0, 1 + 60 * (ramp % 2))).astype(np.uint8)
    return Image.fromarray(pixels[..., 0] if channels == 1 else pixels, mode)


def interlaced(image: Image.Image) -> bytes:
    """In the seven passes of the format, each row unfiltered."""
    pixels = np.asarray(image)
    rows = b"".join(b"\0" + row.tobytes() for x, y, step, down in ADAM7 for row in pixels[y::down, x::step] if row.size)
    header = struct.pack(">IIBBBBB", *image.size, 8, COLOURS[image.mode], 0, 0, 1)
    plain = png((*image.size, 8, COLOURS[image.mode]), (b"IDAT", zlib.compress(rows)))
    return plain[:16] + header + struct.pack(">I", zlib.crc32(b"IHDR" + header)) + plain[33:]


def opened(data: bytes) -> ImageFile.ImageFile:
    return Image.open(io.BytesIO(data), formats=("PNG",))


def filled(data: bytes, limits: Limits = LIMITS) -> PixelArray | None:
    """The pixels by the quick way, if it takes the picture."""
    image = opened(data)
    return np.asarray(image) if quick.fill(image, memoryview(data), limits) else None


@pytest.mark.parametrize("mode", COLOURS)
@pytest.mark.parametrize("size", [(53, 31), (1, 1), (1, 9), (640, 480)])
def test_pixels_are_those_of_pillow(mode: str, size: tuple[int, int]) -> None:
    image = noise(mode, size=size)
    for data in (encoded(image, "PNG"), encoded(image, "PNG", optimize=True), interlaced(image)):
        found = filled(data)
        assert found is not None
        assert np.array_equal(found, np.asarray(opened(data)))
        assert np.array_equal(found, np.asarray(image))


def unusual() -> Iterator[tuple[str, bytes]]:
    image = noise("RGB")
    plain, said = encoded(image, "PNG"), b"tEXtComment\0behind the pixels"
    text = struct.pack(">I", len(said) - 4) + said + struct.pack(">I", zlib.crc32(said))
    yield "palette", encoded(image.convert("P"), "PNG")
    yield "one bit", encoded(image.convert("1"), "PNG")
    yield "grey with alpha", encoded(image.convert("LA"), "PNG")
    yield "sixteen bits", encoded(image.convert("L").convert("I;16"), "PNG")
    yield "a clear colour", encoded(image, "PNG", transparency=(0, 0, 0))
    yield "an animation", encoded(image, "PNG", save_all=True, append_images=[noise("RGB").rotate(180)])
    yield "text behind the pixels", plain[:-12] + text + plain[-12:]
    yield "cut off", plain[:-40]
    yield "no end", plain[:-12]
    yield "too few pixels", png((53, 31, 8, 2), (b"IDAT", zlib.compress(bytes(100))))


@pytest.mark.parametrize("data", [pytest.param(data, id=what) for what, data in unusual()])
def test_what_is_unusual_is_left_to_pillow_untouched(data: bytes) -> None:
    image = opened(data)
    assert not quick.fill(image, memoryview(data), LIMITS)
    assert image.tile


def test_a_picture_that_could_exhaust_the_memory_is_left_to_pillow() -> None:
    data = encoded(Image.new("RGB", (2000, 2000)), "PNG")
    assert filled(data) is not None
    assert filled(data, Limits(memory=32 * 2**20)) is None


def test_orientation_profile_and_text_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    exif = Image.Exif()
    exif[decode.ORIENTATION] = 6
    data = encoded(noise("RGB"), "PNG", exif=exif, dpi=(72, 72))
    assert filled(data) is not None
    assert outcome(data) == outcome_by_pillow(data, monkeypatch)


def test_damage_has_the_same_outcome_as_by_pillow_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    dice = random.Random(0)
    for number in range(300):
        data = bytearray(encoded(noise("RGBA" if number % 2 else "RGB"), "PNG"))
        # Behind the last four bytes of the stream, its checksum, no pixel can be wrong: there the quick way is milder.
        place = dice.randrange(8, len(data) - 20)
        data[place] ^= 1 << dice.randrange(8)
        assert outcome(bytes(data)) == outcome_by_pillow(bytes(data), monkeypatch), place


def test_a_wrong_checksum_of_the_stream_costs_no_picture() -> None:
    """Each part's own checksum is right, so no pixel can be wrong that its maker did not make so."""
    rows = b"".join(b"\0" + row.tobytes() for row in np.asarray(noise("RGB")))
    stream = bytearray(zlib.compress(rows))
    stream[-1] ^= 1
    found = filled(png((53, 31, 8, 2), (b"IDAT", bytes(stream))))
    assert found is not None
    assert np.array_equal(found, np.asarray(noise("RGB")))


def outcome(data: bytes) -> object:
    try:
        found = decode.decode(io.BytesIO(data), memoryview(data), LIMITS)
    except Refused as refused:
        return refused.code
    pixels = [(frame.size, frame.tobytes()) for frame in found.frames]
    return found.format, found.width, found.height, found.frame_count, found.conversions, pixels


def outcome_by_pillow(data: bytes, monkeypatch: pytest.MonkeyPatch) -> object:
    with monkeypatch.context() as patch:
        patch.setattr(quick, "fill", lambda *_: False)
        return outcome(data)
