"""Every kind of colour ends as opaque 8-bit sRGB: alpha, palettes, grey, 16 bits, CMYK, profiles."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms

from booru_ml.nn.survey import read_picture
from tests.booru_ml.images.conftest import Decode
from tests.booru_ml.images.pictures import (
    BLACK,
    BLUE,
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


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "AVIF"])
def test_alpha_is_flattened_on_white(kind: str, decode: Decode) -> None:
    image = quarters().convert("RGBA")
    image.putalpha(Image.new("L", image.size, 128))
    image.paste((0, 0, 0, 0), (0, 0, 24, 16))
    picture = decode(encoded(image, kind, **LOSSLESS[kind]))
    assert_near(corners(picture), [WHITE, (127, 255, 127), (127, 127, 255), WHITE], within=8)
    assert picture.conversions == ("alpha",)


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "P"])
def test_bands_leave_no_trace(mode: str, decode: Decode) -> None:
    """Only what must be converted goes in bands; the pixels are those of the picture reduced at once."""
    image = Image.radial_gradient("L").resize((1500, 2001)).convert("RGB")
    expected = (image.convert("P").convert("RGB") if mode == "P" else image).reduce(32)
    picture = decode(encoded(image.convert(mode), "PNG"))
    assert np.array_equal(picture.frames[0], np.asarray(expected))


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


def turned() -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = 6
    return exif


def samples() -> dict[str, bytes]:
    image = Image.radial_gradient("L").resize((60, 44))
    wide = Image.fromarray(np.asarray(image).astype(np.uint16) * 257)
    alpha = quarters().convert("RGBA")
    alpha.putalpha(Image.linear_gradient("L").resize(alpha.size))
    rows = b"".join(b"\0" + bytes(range(0, 180, 3)) for _ in range(40))
    return {
        "rgb": encoded(quarters(), "PNG"),
        "16 bits": encoded(wide, "PNG"),
        "16 bits, turned": encoded(wide, "PNG", exif=turned()),
        "cmyk": encoded(quarters().convert("CMYK"), "JPEG"),
        "profile": encoded(quarters(), "JPEG", icc_profile=swapped_profile(), exif=turned()),
        "profile under alpha": encoded(alpha, "PNG", icc_profile=swapped_profile()),
        "gamma": png((20, 40, 8, 2), (b"gAMA", struct.pack(">I", 100_000)), (b"IDAT", zlib.compress(rows))),
        "alpha": encoded(alpha, "WEBP", lossless=True),
        "palette": encoded(quarters().quantize(4), "GIF", transparency=1),
        "grey": encoded(image.convert("1"), "PNG"),
    }


@pytest.mark.parametrize("kind", samples())
def test_networks_are_taught_and_measured_by_the_pixels_that_uploads_have(
    kind: str, decode: Decode, tmp_path: Path
) -> None:
    data = samples()[kind]
    (tmp_path / "picture").write_bytes(data)
    assert np.array_equal(read_picture(tmp_path / "picture"), decode(data).frames[0])
