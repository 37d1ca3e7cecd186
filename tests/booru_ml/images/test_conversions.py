"""What a decoded picture looks like: upright, small, whole; and what is said of it."""

from __future__ import annotations

import hashlib
import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from booru_ml.errors import PictureRefused
from booru_ml.pipeline.images import DecoderPool, Limits
from tests.booru_ml.images.conftest import Decode
from tests.booru_ml.images.pictures import (
    BLUE,
    FORMATS,
    GREEN,
    LOSSLESS,
    RED,
    WHITE,
    assert_near,
    corners,
    encoded,
    png,
    quarters,
)


@pytest.mark.parametrize("kind", FORMATS)
def test_every_accepted_format_is_decoded_by_its_content(kind: str, decode: Decode) -> None:
    data = encoded(quarters(), kind)
    picture = decode(data)
    assert (picture.format, picture.width, picture.height, picture.frame_count) == (kind, 48, 32, 1)
    assert picture.sha256 == hashlib.sha256(data).hexdigest()
    assert picture.frames[0].shape == (32, 48, 3)
    assert picture.frames[0].dtype == np.uint8
    assert not picture.frames[0].flags.writeable
    assert_near(corners(picture), [RED, GREEN, BLUE, WHITE], within=12)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "AVIF"])
def test_a_plain_picture_is_accepted_without_conversions(kind: str, decode: Decode) -> None:
    assert decode(encoded(quarters(), kind)).conversions == ()


@pytest.mark.parametrize("kind", ["BMP", "TIFF", "ICO", "PPM", "JPEG2000", "TGA", "EPS", "PDF"])
def test_other_formats_are_refused_whatever_they_are_called(kind: str, decode: Decode) -> None:
    with pytest.raises(PictureRefused) as refused:
        decode(encoded(quarters(), kind))
    assert refused.value.code == "format"
    assert "JPEG, PNG, GIF, WebP and AVIF" in refused.value.message


# For EXIF orientation n, which quarter of the upright picture ends where in the stored one is undone by Pillow's own
# inverse operation; what must come out is always the upright picture.
STORED = {
    1: None,
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "AVIF"])
def test_orientation_is_undone_in_every_format(kind: str, orientation: int, decode: Decode) -> None:
    operation = STORED[orientation]
    stored = quarters().transpose(operation) if operation is not None else quarters()
    exif = Image.Exif()
    exif[0x0112] = orientation
    picture = decode(encoded(stored, kind, exif=exif, **LOSSLESS[kind]))
    assert (picture.width, picture.height) == (48, 32)
    assert picture.frames[0].shape == (32, 48, 3)
    assert_near(corners(picture), [RED, GREEN, BLUE, WHITE])
    assert picture.conversions == (() if orientation == 1 else (f"orientation-{orientation}",))


def test_orientation_is_read_from_xmp_too(decode: Decode) -> None:
    xmp = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf tiff:Orientation="3"/></x:xmpmeta>'
    picture = decode(encoded(quarters().rotate(180), "JPEG", xmp=xmp, **LOSSLESS["JPEG"]))
    assert picture.conversions == ("orientation-3",)
    assert_near(corners(picture), [RED, GREEN, BLUE, WHITE])


@pytest.mark.parametrize("value", [9, 200, 65535])
def test_a_senseless_orientation_is_ignored_and_noted(value: int, decode: Decode) -> None:
    exif = Image.Exif()
    exif[0x0112] = value
    assert decode(encoded(quarters(), "JPEG", exif=exif)).conversions == ("bad-exif-ignored",)


def test_broken_exif_never_fails_the_picture(decode: Decode) -> None:
    picture = decode(encoded(quarters(), "JPEG", exif=b"Exif\0\0II*\0\xff\xff\xff\x7f"))
    assert picture.frames[0].shape == (32, 48, 3)


def test_a_chunk_that_claims_four_gigabytes_is_damage_not_size(decode: Decode) -> None:
    whole = png((2, 2, 8, 0), (b"IDAT", zlib.compress(b"\0\1\2\0\3\4")))
    lying = whole[:33] + struct.pack(">I", 2**32 - 20) + b"teXt" + whole[33:]
    with pytest.raises(PictureRefused) as refused:
        decode(lying)
    assert refused.value.code == "corrupt"


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "WEBP", "AVIF"])
def test_large_pictures_are_reduced_to_the_canvas_and_keep_their_measures(kind: str, decode: Decode) -> None:
    picture = decode(encoded(quarters(size=(900, 600)), kind))
    assert (picture.width, picture.height) == (900, 600)
    height, width, _ = picture.frames[0].shape
    assert 32 < width <= 64
    assert height == pytest.approx(width * 2 / 3, abs=1)
    assert_near(corners(picture), [RED, GREEN, BLUE, WHITE], within=12)


@pytest.mark.parametrize("size", [(3000, 1), (1, 3000), (2, 1999), (65, 64)])
def test_extreme_shapes_keep_at_least_one_pixel(size: tuple[int, int], decode: Decode) -> None:
    picture = decode(encoded(Image.new("RGB", size, RED), "PNG"))
    height, width, _ = picture.frames[0].shape
    assert 32 < max(width, height) <= 64
    assert min(width, height) >= 1
    assert_near(picture.frames[0], RED, within=1)


def test_reduction_agrees_with_one_plain_resampling() -> None:
    """Bands, JPEG's scaled decoding and the two-step reduction may cost no visible fidelity: ≥ 35 dB."""
    rng = np.random.default_rng(7)
    y, x = np.mgrid[0:1800, 0:2600]
    waves = 127 + 90 * np.sin(x / 37) * np.cos(y / 23)
    pixels = np.stack([waves, x * 255 / 2600, y * 255 / 1800], -1) + rng.normal(0, 4, (1800, 2600, 3))
    image = Image.fromarray(pixels.clip(0, 255).astype(np.uint8))
    data = encoded(image, "JPEG", quality=95)
    with DecoderPool(workers=1, limits=Limits(canvas_side=512)) as pool:
        found = pool.submit(io.BytesIO(data)).result().frames[0]
    plain = Image.open(io.BytesIO(data)).convert("RGB").resize(found.shape[1::-1], Image.Resampling.BICUBIC)
    error = np.mean((np.asarray(plain, float) - found) ** 2)
    assert 10 * np.log10(255**2 / error) > 35
