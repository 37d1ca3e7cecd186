"""Animations: first, middle and last frame, never more work than allowed, and damage only costs the later frames."""

from __future__ import annotations

import io
import struct
import time
from typing import Any

import pytest
from PIL import Image

from booru_ml.errors import PictureRefused
from booru_ml.pipeline.images import DecoderPool, Limits
from booru_ml.types import Picture
from tests.booru_ml.images.conftest import Decode
from tests.booru_ml.images.pictures import encoded


def shades(count: int, size: tuple[int, int] = (16, 12)) -> list[Image.Image]:
    return [Image.new("RGB", size, (250 - 250 * number // count, 30, 20)) for number in range(count)]


def animation(kind: str, count: int, **options: Any) -> bytes:
    first, *later = shades(count)
    return encoded(first, kind, save_all=True, append_images=later, duration=50, **options)


def reds(picture: Picture) -> list[int]:
    return [int(frame[6, 8, 0]) for frame in picture.frames]


@pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP", "AVIF"])
def test_first_middle_and_last_frame_are_kept(kind: str, decode: Decode) -> None:
    picture = decode(animation(kind, 9))
    assert picture.frame_count == 9
    assert "frames" in picture.conversions
    assert "frames-unread" not in picture.conversions
    expected = [shades(9)[number].getpixel((0, 0))[0] for number in (0, 4, 8)]  # type: ignore[index]
    assert reds(picture) == pytest.approx(expected, abs=8)


@pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP", "AVIF"])
def test_two_frames_are_both_kept(kind: str, decode: Decode) -> None:
    picture = decode(animation(kind, 2))
    assert (picture.frame_count, len(picture.frames)) == (2, 2)


def test_frames_keep_colours_of_their_own_palettes_and_transparency(decode: Decode) -> None:
    first = Image.new("RGBA", (8, 8), (255, 0, 0, 255))
    first.putpixel((0, 0), (0, 0, 0, 0))
    second = Image.new("RGBA", (8, 8), (0, 0, 0, 0))
    second.paste((0, 0, 255, 255), (0, 0, 4, 8))
    data = encoded(first, "GIF", save_all=True, append_images=[second], disposal=2)
    picture = decode(data)
    assert tuple(picture.frames[0][4, 6]) == (255, 0, 0)
    assert tuple(picture.frames[1][4, 1]) == (0, 0, 255)
    assert tuple(picture.frames[1][4, 6]) == (255, 255, 255)
    assert "alpha" in picture.conversions


def test_a_cut_off_gif_keeps_the_frames_before_the_cut(decode: Decode) -> None:
    data = animation("GIF", 9)
    picture = decode(data[: len(data) * 2 // 3])
    assert 2 < picture.frame_count < 9
    assert {"frames", "frames-unread"} <= set(picture.conversions)
    assert reds(picture)[0] == pytest.approx(250, abs=4)


def test_a_gif_whose_first_frame_is_cut_off_is_refused(decode: Decode) -> None:
    data = encoded(Image.effect_noise((64, 64), 90), "GIF")
    with pytest.raises(PictureRefused) as refused:
        decode(data[: len(data) // 2])
    assert refused.value.code == "corrupt"


def test_a_later_frame_far_beyond_the_canvas_is_not_decoded(decode: Decode) -> None:
    data = animation("GIF", 2)
    second = data.rindex(b"\x21\xf9")
    descriptor = data.index(b"\x2c", second)
    huge = data[: descriptor + 5] + struct.pack("<HH", 65000, 65000) + data[descriptor + 9 :]
    picture = decode(huge)
    assert (picture.width, picture.height, len(picture.frames)) == (16, 12, 1)
    assert "frames-unread" in picture.conversions


def test_a_later_frame_that_reaches_over_the_canvas_is_cropped_to_it(decode: Decode) -> None:
    data = animation("GIF", 2)
    second = data.rindex(b"\x21\xf9")
    descriptor = data.index(b"\x2c", second)
    shifted = data[: descriptor + 1] + struct.pack("<HH", 5, 5) + data[descriptor + 5 :]
    picture = decode(shifted)
    assert [frame.shape for frame in picture.frames] == [(12, 16, 3)] * 2


def test_an_apng_that_claims_more_frames_than_it_has_gives_those_it_has(decode: Decode) -> None:
    data = animation("PNG", 4)
    control = data.index(b"acTL") + 4
    lying = data[:control] + struct.pack(">I", 2_000_000_000) + data[control + 4 :]
    # The chunk's checksum is now wrong too; a decoder may refuse or go on, but not count to two thousand million.
    started = time.monotonic()
    try:
        picture = decode(lying)
    except PictureRefused as error:
        assert error.code == "corrupt"  # noqa: PT017
    else:
        assert len(picture.frames) <= 3
    assert time.monotonic() - started < 10


def test_seeking_through_a_long_animation_stops_when_its_time_is_spent() -> None:
    first, *later = [Image.linear_gradient("L").resize((600, 600)).rotate(90 * number) for number in range(4)]
    short = encoded(first, "GIF", save_all=True, append_images=later)
    header = 13 + (3 << (short[10] & 7) + 1 if short[10] & 0x80 else 0)
    long = short[:header] + short[header:-1] * 250 + b";"
    with DecoderPool(workers=1, limits=Limits(cpu_seconds=1, canvas_side=64)) as pool:
        picture = pool.submit(io.BytesIO(long)).result()
    assert picture.frame_count == 1000
    assert len(picture.frames) == 2
    assert {"frames", "frames-unread"} <= set(picture.conversions)


def test_further_pictures_of_an_mpo_are_not_frames(decode: Decode) -> None:
    first, second = shades(2)
    picture = decode(encoded(first, "MPO", save_all=True, append_images=[second]))
    assert (picture.format, picture.frame_count, len(picture.frames)) == ("JPEG", 1, 1)
    assert picture.conversions == ("first-picture",)
