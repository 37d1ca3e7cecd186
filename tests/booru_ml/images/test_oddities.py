"""What a decoder passes over in silence is noted, and never costs the picture."""

from __future__ import annotations

import io
import struct
import zlib

import pytest
from PIL import Image

from tests.booru_ml.images.conftest import Decode
from tests.booru_ml.images.pictures import BLUE, GREEN, RED, WHITE, assert_near, corners, encoded, png, quarters

ROWS = (b"IDAT", zlib.compress((b"\0" + bytes([188, 0, 255, 64])) * 4))
SRGB_CHROMATICITIES = struct.pack(">8I", 31270, 32900, 64000, 33000, 30000, 60000, 15000, 6000)
P3_CHROMATICITIES = struct.pack(">8I", 31270, 32900, 68000, 32000, 26500, 69000, 15000, 6000)


def segment(marker: int, content: bytes) -> bytes:
    return b"\xff" + bytes([marker]) + struct.pack(">H", len(content) + 2) + content


def jpeg(*parts: bytes) -> bytes:
    """The four quarters as a JPEG with further bytes behind its first segment."""
    data = encoded(quarters(), "JPEG", quality=95, subsampling=0)
    return data[:20] + b"".join(parts) + data[20:]


def exif(tag: int, kind: int, content: bytes) -> bytes:
    """A JPEG segment with one EXIF field."""
    field = struct.pack(">HHHIII", 1, tag, kind, len(content), 26, 0)
    return segment(0xE1, b"Exif\0\0MM\0*\0\0\0\x08" + field + content)


@pytest.mark.parametrize(
    ("part", "note"),
    [
        (b"hello", "damage-skipped"),
        (b"\xff\x00\x00\x02", "damage-skipped"),
        (segment(0xE2, b"ICC_PROFILE\0\x01\x02half of a profile"), "bad-icc-ignored"),
        (exif(0x011A, 2, b"300300\0\0"), "bad-exif-ignored"),
        (exif(0x8825, 2, b"no offset at all\0"), "bad-exif-ignored"),
    ],
    ids=["text", "zeros", "half a profile", "resolution as text", "pointer as text"],
)
def test_what_makes_no_sense_in_a_jpeg_is_passed_over_and_noted(part: bytes, note: str, decode: Decode) -> None:
    picture = decode(jpeg(part))
    assert picture.conversions == (note,)
    assert_near(corners(picture), [RED, GREEN, BLUE, WHITE])


@pytest.mark.parametrize("part", [b"\xff\xff\xff", segment(0xFE, b"a comment"), exif(0x010F, 2, b"maker\0")])
def test_what_makes_sense_in_a_jpeg_is_not_noted(part: bytes, decode: Decode) -> None:
    assert decode(jpeg(part)).conversions == ()


def test_a_jpeg_of_uncommon_coding_is_noted(decode: Decode) -> None:
    assert decode(jpeg().replace(b"\xff\xc0", b"\xff\xc1", 1)).conversions == ("unusual-coding",)
    assert decode(encoded(quarters(), "JPEG", progressive=True)).conversions == ()


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "WEBP"])
def test_bytes_behind_the_end_are_noted_unless_they_are_padding(kind: str, decode: Decode) -> None:
    data = encoded(quarters(), kind)
    plain = decode(data).conversions
    assert decode(data + bytes(500)).conversions == plain
    assert set(decode(data + b"PK\3\4another file").conversions) == {*plain, "trailing-data"}


def test_unknown_blocks_of_a_gif_are_noted(decode: Decode) -> None:
    data = encoded(quarters(), "GIF")
    plain = decode(data).conversions
    assert set(decode(data[:-1] + b"\x00;").conversions) == {*plain, "damage-skipped"}
    assert set(decode(data[:-1] + b"!\x2a\x05Hello\x00;").conversions) == {*plain, "damage-skipped"}
    assert decode(data[:-1] + b"!\xfe\x05Hello\x00;").conversions == plain


def test_a_gamma_is_applied_as_browsers_do(decode: Decode) -> None:
    """Light stored as it is (exponent 1) becomes brighter; black and white stay."""
    picture = decode(png((4, 4, 8, 0), (b"gAMA", struct.pack(">I", 100_000)), ROWS))
    assert "gamma" in picture.conversions
    assert_near(picture.frames[0][0, :, 0], [round(255 * (v / 255) ** (1 / 2.2)) for v in (188, 0, 255, 64)], within=1)


@pytest.mark.parametrize(
    "chunks",
    [
        [(b"gAMA", struct.pack(">I", 45_455))],
        [(b"gAMA", struct.pack(">I", 0))],
        [(b"sRGB", b"\0"), (b"gAMA", struct.pack(">I", 100_000))],
        [(b"gAMA", struct.pack(">I", 45_455)), (b"cHRM", SRGB_CHROMATICITIES)],
        [(b"sRGB", b"\0"), (b"cHRM", P3_CHROMATICITIES)],
        [(b"cICP", bytes([1, 13, 0, 1])), (b"cHRM", P3_CHROMATICITIES)],
    ],
    ids=["gamma of sRGB", "no gamma", "sRGB above gamma", "sRGB in numbers", "sRGB above primaries", "coded sRGB"],
)
def test_colours_that_are_srgb_in_effect_stay_as_they_are(chunks: list[tuple[bytes, bytes]], decode: Decode) -> None:
    picture = decode(png((4, 4, 8, 0), *chunks, ROWS))
    assert picture.conversions == ("grey",)
    assert list(picture.frames[0][0, :, 0]) == [188, 0, 255, 64]


@pytest.mark.parametrize("chunk", [(b"cHRM", P3_CHROMATICITIES), (b"cICP", bytes([9, 16, 0, 1]))])
def test_primaries_without_a_profile_are_noted(chunk: tuple[bytes, bytes], decode: Decode) -> None:
    assert decode(png((4, 4, 8, 0), chunk, ROWS)).conversions == ("grey", "colour-ignored")


def test_an_avif_of_other_colours_or_more_bits_is_noted(decode: Decode) -> None:
    data = bytearray(encoded(quarters(), "AVIF"))
    code = data.index(b"nclx") + 4
    data[code : code + 4] = struct.pack(">HH", 9, 16)
    assert decode(bytes(data)).conversions == ("colour-ignored",)


def test_an_orientation_that_an_avif_container_overrules_is_noted(decode: Decode) -> None:
    other = Image.Exif()
    other[0x0113] = 6
    # Pillow itself would turn the container along with the field.
    data = encoded(quarters(), "AVIF", exif=other).replace(b"\x01\x13\0\x03", b"\x01\x12\0\x03")
    picture = decode(data)
    assert picture.conversions == ("orientation-ignored",)
    assert_near(corners(picture), [RED, GREEN, BLUE, WHITE], within=12)


def test_a_profile_that_cannot_be_unpacked_is_noted(decode: Decode) -> None:
    picture = decode(png((4, 4, 8, 0), (b"iCCP", b"x\0\0no zlib stream"), ROWS))
    assert picture.conversions == ("grey", "bad-icc-ignored")


def test_an_endless_text_is_refused_before_it_is_unpacked(decode: Decode) -> None:
    from booru_ml.errors import PictureRefused

    for kind, head in ((b"zTXt", b"x\0\0"), (b"iCCP", b"x\0\0"), (b"iTXt", b"x\0\1\0\0\0")):
        bomb = io.BytesIO()
        bomb.write(head + zlib.compress(bytes(50_000_000), 9))
        with pytest.raises(PictureRefused, match="damaged"):
            decode(png((4, 4, 8, 0), (kind, bomb.getvalue()), ROWS))
