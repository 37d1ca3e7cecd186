"""What a decoded picture looks like: upright, opaque, sRGB, small; and what is said of it."""

from __future__ import annotations

import hashlib
import io
import struct
import zlib
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageCms

from booru_ml.errors import PictureRefused
from booru_ml.pipeline.images import DecoderPool, Limits
from booru_ml.types import Picture
from tests.booru_ml.images.conftest import Decode, encoded

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


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "AVIF"])
def test_alpha_is_flattened_on_white(kind: str, decode: Decode) -> None:
    image = quarters().convert("RGBA")
    image.putalpha(Image.new("L", image.size, 128))
    image.paste((0, 0, 0, 0), (0, 0, 24, 16))
    picture = decode(encoded(image, kind, **LOSSLESS[kind]))
    assert_near(corners(picture), [WHITE, (127, 255, 127), (127, 127, 255), WHITE], within=8)
    assert picture.conversions == ("alpha",)


def test_grey_with_alpha_is_flattened_on_white(decode: Decode) -> None:
    image = Image.new("LA", (8, 8), (0, 64))
    picture = decode(encoded(image, "PNG"))
    assert_near(picture.frames[0], 191, within=1)
    assert picture.conversions == ("grey", "alpha")


@pytest.mark.parametrize("kind", ["PNG", "GIF"])
def test_palettes_with_a_transparent_colour_are_expanded(kind: str, decode: Decode) -> None:
    image = quarters().quantize(4)
    index = image.getpixel((1, 1))
    picture = decode(encoded(image, kind, transparency=index))
    assert_near(corners(picture), [WHITE, GREEN, BLUE, WHITE])
    assert picture.conversions == ("palette", "alpha")


def test_a_transparent_colour_of_a_plain_png_is_white(decode: Decode) -> None:
    picture = decode(encoded(quarters(), "PNG", transparency=BLUE))
    assert_near(corners(picture), [RED, GREEN, WHITE, WHITE])
    assert picture.conversions == ("alpha",)


@pytest.mark.parametrize("mode", ["1", "L"])
def test_grey_becomes_rgb(mode: str, decode: Decode) -> None:
    image = Image.new("L", (8, 8), 255)
    image.paste(0, (0, 0, 4, 8))
    picture = decode(encoded(image.convert(mode), "PNG"))
    assert corners(picture) == [BLACK, WHITE, BLACK, WHITE]
    assert picture.conversions == ("grey",)


def test_sixteen_bit_grey_keeps_its_brightness(decode: Decode) -> None:
    image = Image.fromarray(np.full((8, 8), 128 * 257, np.uint16))
    picture = decode(encoded(image, "PNG"))
    assert_near(picture.frames[0], 128, within=1)
    assert picture.conversions == ("16bit", "grey")


def test_sixteen_bit_grey_with_a_transparent_value_is_white_there(decode: Decode) -> None:
    rows = b"".join(b"\0" + struct.pack(">2H", 1000, 40000) for _ in range(2))
    data = png((2, 2, 16, 0), (b"tRNS", struct.pack(">H", 1000)), (b"IDAT", zlib.compress(rows)))
    picture = decode(data)
    assert_near(picture.frames[0][0], [WHITE, (156, 156, 156)], within=1)
    assert picture.conversions == ("16bit", "grey", "alpha")


def test_sixteen_bit_colour_keeps_its_brightness(decode: Decode) -> None:
    rows = b"".join(b"\0" + struct.pack(">6H", 65535, 32896, 0, 0, 0, 65535) for _ in range(2))
    picture = decode(png((2, 2, 16, 2), (b"IDAT", zlib.compress(rows))))
    assert_near(picture.frames[0][0], [(255, 128, 0), BLUE], within=1)
    assert picture.conversions == ("16bit",)


def png(header: tuple[int, int, int, int], *chunks: tuple[bytes, bytes]) -> bytes:
    """A PNG from (width, height, depth, colour type) and its further chunks."""
    ihdr = struct.pack(">IIBBBBB", *header, 0, 0, 0)
    parts = [(b"IHDR", ihdr), *chunks, (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body)) for kind, body in parts
    )


def test_a_chunk_that_claims_four_gigabytes_is_damage_not_size(decode: Decode) -> None:
    whole = png((2, 2, 8, 0), (b"IDAT", zlib.compress(b"\0\1\2\0\3\4")))
    lying = whole[:33] + struct.pack(">I", 2**32 - 20) + b"teXt" + whole[33:]
    with pytest.raises(PictureRefused) as refused:
        decode(lying)
    assert refused.value.code == "corrupt"


def test_cmyk_jpeg_becomes_rgb_with_colours_the_right_way_round(decode: Decode) -> None:
    image = Image.new("CMYK", (32, 32), (0, 255, 255, 0))
    image.paste((255, 255, 0, 0), (16, 0, 32, 32))
    picture = decode(encoded(image, "JPEG", quality=100))
    assert_near(corners(picture), [RED, BLUE, RED, BLUE], within=12)
    assert picture.conversions == ("cmyk",)


def swapped_profile() -> bytes:
    """An RGB profile whose red and green primaries have changed places."""
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    (count,) = struct.unpack_from(">I", profile, 128)
    offsets = {}
    for number in range(count):
        tag, offset, size = struct.unpack_from(">4sII", profile, 132 + 12 * number)
        offsets[tag] = (132 + 12 * number, offset, size)
    (red_at, *red), (green_at, *green) = offsets[b"rXYZ"], offsets[b"gXYZ"]
    struct.pack_into(">II", profile, red_at + 4, *green)
    struct.pack_into(">II", profile, green_at + 4, *red)
    return bytes(profile)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "AVIF"])
def test_colour_profiles_are_applied(kind: str, decode: Decode) -> None:
    picture = decode(encoded(quarters(), kind, icc_profile=swapped_profile(), **LOSSLESS[kind]))
    assert_near(corners(picture), [GREEN, RED, BLUE, WHITE])
    assert picture.conversions == ("icc",)


def test_a_profile_that_is_srgb_in_effect_changes_nothing(decode: Decode) -> None:
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    assert decode(encoded(quarters(), "PNG", icc_profile=srgb)).conversions == ()


def test_a_profile_is_applied_to_palettes_and_under_alpha(decode: Decode) -> None:
    palette = decode(encoded(quarters().quantize(4), "PNG", icc_profile=swapped_profile()))
    assert_near(corners(palette), [GREEN, RED, BLUE, WHITE])
    assert palette.conversions == ("palette", "icc")
    alpha = quarters().convert("RGBA")
    alpha.paste((0, 0, 0, 0), (0, 16, 24, 32))
    seen = decode(encoded(alpha, "PNG", icc_profile=swapped_profile()))
    assert_near(corners(seen), [GREEN, RED, WHITE, WHITE])
    assert seen.conversions == ("alpha", "icc")


@pytest.mark.parametrize("profile", [b"no profile at all", b"\0" * 200, swapped_profile()[:300]])
def test_a_damaged_profile_is_ignored_and_noted(profile: bytes, decode: Decode) -> None:
    picture = decode(encoded(quarters(), "PNG", icc_profile=profile))
    assert corners(picture) == [RED, GREEN, BLUE, WHITE]
    assert picture.conversions == ("bad-icc-ignored",)


def test_a_profile_for_other_channels_is_ignored_and_noted(decode: Decode) -> None:
    lab = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
    assert decode(encoded(quarters(), "JPEG", icc_profile=lab)).conversions == ("bad-icc-ignored",)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "WEBP", "AVIF"])
def test_large_pictures_are_reduced_to_the_canvas_and_keep_their_measures(kind: str, decode: Decode) -> None:
    picture = decode(encoded(quarters(size=(900, 600)), kind))
    assert (picture.width, picture.height) == (900, 600)
    assert picture.frames[0].shape == (43, 64, 3)
    assert_near(corners(picture), [RED, GREEN, BLUE, WHITE], within=12)


@pytest.mark.parametrize("size", [(3000, 1), (1, 3000), (2, 1999), (65, 64)])
def test_extreme_shapes_keep_at_least_one_pixel(size: tuple[int, int], decode: Decode) -> None:
    picture = decode(encoded(Image.new("RGB", size, RED), "PNG"))
    height, width, _ = picture.frames[0].shape
    assert max(width, height) == 64
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
    plain = Image.open(io.BytesIO(data)).convert("RGB").resize((512, found.shape[0]), Image.Resampling.BICUBIC)
    error = np.mean((np.asarray(plain, float) - found) ** 2)
    assert 10 * np.log10(255**2 / error) > 35
