"""The parts of a file are found without a decoder, in time, whatever the bytes say."""

from __future__ import annotations

import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from booru_ml.pipeline.images import blocks
from tests.booru_ml.images.pictures import encoded

PLAIN = Image.new("RGB", (40, 30), "red")


def always(*_: Any) -> bool:
    return True


def segments(data: bytes) -> list[blocks.Segment]:
    return list(blocks.jpeg_segments(memoryview(data)))


@pytest.mark.parametrize("count", [1, 2, 7])
def test_frames_are_counted(count: int) -> None:
    frames = [Image.new("RGB", (9, 9), (30 * number, 0, 0)) for number in range(count)]
    gif = encoded(frames[0], "GIF", save_all=True, append_images=frames[1:])
    apng = encoded(frames[0], "PNG", save_all=True, append_images=frames[1:])
    found = blocks.gif_animation(memoryview(gif), fits=always, in_time=always)
    assert found == blocks.Animation(count, count, end=len(gif))
    assert blocks.png_animation(memoryview(apng)).count == count


def test_frames_after_an_unfit_one_are_not_usable() -> None:
    frames = [Image.new("RGB", (9, 9), (30 * number, 0, 0)) for number in range(5)]
    gif = encoded(frames[0], "GIF", save_all=True, append_images=frames[1:])
    asked = iter([True, True, False, True, True])
    found = blocks.gif_animation(memoryview(gif), fits=lambda *_: next(asked), in_time=always)
    assert (found.count, found.usable) == (5, 2)


@pytest.mark.parametrize("progressive", [False, True])
def test_a_jpeg_is_walked_from_its_first_segment_to_its_end(progressive: bool) -> None:
    data = encoded(PLAIN, "JPEG", progressive=progressive, quality=95)
    found = segments(data + b"anything")
    assert [found[0].marker, found[-1].marker] == [0xE0, blocks.EOI]
    assert found[-1].end == len(data)
    assert sum(segment.marker == blocks.SOS for segment in found) == (10 if progressive else 1)
    assert not any(segment.stray for segment in found)


def test_fill_bytes_between_segments_are_no_stray_bytes() -> None:
    data = encoded(PLAIN, "JPEG")
    assert not segments(data[:2] + b"\xff\xff\xff" + data[2:])[0].stray
    assert segments(data[:2] + b"\xff\x00\x00\x02" + data[2:])[0].stray


@pytest.mark.parametrize(
    "filler", [b"\xff", b"\xff\x00", b"\xff\xd0", b"\xff\xfe\x00\x02", b"\xff\xfe\x00\x00", b"\x00"]
)
@pytest.mark.parametrize("place", [2, -2])
def test_a_long_run_of_anything_is_walked_in_a_moment(filler: bytes, place: int) -> None:
    data = encoded(PLAIN, "JPEG")
    endless = data[:place] + filler * (4_000_000 // len(filler)) + data[place:]
    started = time.process_time()
    assert len(segments(endless)) <= blocks.MAX_PARTS
    assert time.process_time() - started < 3


def test_a_png_of_a_million_chunks_is_not_walked_to_its_end() -> None:
    chunk = b"\0\0\0\0teSt\0\0\0\0"
    assert len(list(blocks.png_chunks(memoryview(bytes(8) + chunk * 1_000_000)))) == blocks.MAX_PARTS


@given(st.sampled_from(["JPEG", "PNG", "GIF"]), st.binary(max_size=300), st.integers(0, 64))
def test_random_bytes_raise_nothing(kind: str, noise: bytes, kept: int) -> None:
    data = memoryview(encoded(PLAIN, kind)[:kept] + noise)
    list(blocks.jpeg_segments(data))
    blocks.png_animation(data)
    if len(data) >= 10:
        found = blocks.gif_animation(data, fits=always, in_time=always)
        assert 0 <= found.usable <= found.count <= len(data)
