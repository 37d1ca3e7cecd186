from __future__ import annotations

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from deploy.demo.board.sniff import HEAD_BYTES, Sniffed, sniff


def encoded(kind: str, size: tuple[int, int], **options: object) -> bytes:
    target = io.BytesIO()
    Image.new("RGB", size, "teal").save(target, kind, **options)
    return target.getvalue()


@pytest.mark.parametrize(
    ("kind", "ext", "options"),
    [
        ("JPEG", "jpg", {}),
        ("JPEG", "jpg", {"progressive": True}),
        ("PNG", "png", {}),
        ("GIF", "gif", {}),
        ("WEBP", "webp", {"lossless": True}),
        ("WEBP", "webp", {"quality": 80}),
        ("AVIF", "avif", {}),
    ],
)
def test_formats_and_sizes_are_read_from_the_header(kind: str, ext: str, options: dict[str, object]) -> None:
    assert sniff(encoded(kind, (123, 45), **options)) == Sniffed(ext, 123, 45)


def test_an_extended_webp_tells_its_canvas() -> None:
    target = io.BytesIO()
    Image.new("RGBA", (300, 200), (1, 2, 3, 4)).save(target, "WEBP", quality=50)
    assert sniff(target.getvalue()) == Sniffed("webp", 300, 200)


def test_a_picture_lying_on_its_side_is_measured_upright() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    assert sniff(encoded("JPEG", (123, 45), exif=exif)) == Sniffed("jpg", 45, 123)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"<svg xmlns='http://www.w3.org/2000/svg'/>",
        b"<!doctype html><script>alert(1)</script>",
        b"%PDF-1.7",
        b"PK\3\4",
    ],
)
def test_everything_else_is_bin(content: bytes) -> None:
    assert sniff(content) == Sniffed("bin", 0, 0)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "WEBP", "AVIF"])
def test_a_truncated_header_never_raises(kind: str) -> None:
    whole = encoded(kind, (64, 32))
    for length in range(min(len(whole), 400)):
        sniff(whole[:length])


def test_sizes_that_no_column_holds_count_as_unknown() -> None:
    huge = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + b"\xff" * 8 + bytes(5)
    assert sniff(huge) == Sniffed("png", 0, 0)


def test_only_the_head_is_looked_at() -> None:
    endless = b"\xff\xd8" + (b"\xff\xe1\xff\xff" + bytes(0xFFFD)) * 8
    assert len(endless) > HEAD_BYTES
    assert sniff(endless) == Sniffed("jpg", 0, 0)


PREFIXES = [b"", b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF89a", b"RIFF\0\0\0\0WEBPVP8 ", b"\0\0\0\x1cftypavif"]


@given(st.sampled_from(PREFIXES), st.binary(max_size=300))
def test_no_bytes_raise(prefix: bytes, rest: bytes) -> None:
    found = sniff(prefix + rest)
    assert 0 <= found.width < 2**31
    assert 0 <= found.height < 2**31
