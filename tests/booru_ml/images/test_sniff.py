"""What headers say is read without a decoder, and never believed further than the file reaches."""

from __future__ import annotations

import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from booru_ml.pipeline.images import sniff
from tests.booru_ml.images.pictures import encoded

KINDS = ["JPEG", "PNG", "GIF", "WEBP", "AVIF"]
PLAIN = Image.new("RGB", (40, 30), "red")


@pytest.mark.parametrize("kind", KINDS)
def test_formats_are_told_by_their_first_bytes(kind: str) -> None:
    assert sniff.format_of(encoded(PLAIN, kind)[:64]) == kind


@pytest.mark.parametrize(
    "head",
    [
        b"",
        b"\xff\xd8",
        b"\x89PNG\r\n\x1a",
        b"RIFF\0\0\0\0WAVE",
        b"\0\0\0\x18ftypheic\0\0\0\0mif1heic",
        b"\0\0\0\x10ftypheic\0\0\0\0avif",
        b"%!PS-Adobe-3.0 EPSF",
        b"<svg xmlns=",
        b"BM",
    ],
)
def test_everything_else_has_no_accepted_format(head: bytes) -> None:
    assert sniff.format_of(head.ljust(12, b"\0")) is None


@pytest.mark.parametrize("brands", [b"avif\0\0\0\0", b"mif1\0\0\0\0miafavif", b"avis\0\0\0\0avisavif"])
def test_avif_is_found_among_the_compatible_brands(brands: bytes) -> None:
    assert sniff.format_of(struct.pack(">I", 8 + len(brands)) + b"ftyp" + brands) == "AVIF"


@pytest.mark.parametrize(
    ("kind", "options"),
    [("PNG", {}), ("GIF", {}), ("WEBP", {}), ("WEBP", {"lossless": True}), ("WEBP", {"exif": b"x"}), ("AVIF", {})],
)
def test_the_canvas_is_read_from_the_header(kind: str, options: dict[str, Any]) -> None:
    assert sniff.canvas_of(kind, memoryview(encoded(PLAIN, kind, **options))) == (40, 30)


def test_an_animated_webp_and_avif_tell_their_canvas() -> None:
    for kind in ("WEBP", "AVIF"):
        data = encoded(PLAIN, kind, save_all=True, append_images=[Image.new("RGB", (40, 30), "blue")])
        assert sniff.canvas_of(kind, memoryview(data)) == (40, 30)


@given(st.sampled_from(KINDS), st.binary(max_size=300), st.integers(0, 64))
def test_random_bytes_raise_nothing(kind: str, noise: bytes, kept: int) -> None:
    data = memoryview(encoded(PLAIN, kind)[:kept] + noise)
    sniff.format_of(bytes(data[:64]))
    sniff.canvas_of(kind, data)
    sniff.png_depth(data)
