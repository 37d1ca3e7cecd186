"""Damaged files of every format end as a picture or as a refusal, whatever the decoders behind Pillow do."""

from __future__ import annotations

import io
from concurrent.futures import Future

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms

from booru_ml.errors import PictureRefused
from booru_ml.pipeline.images import DecoderPool
from booru_ml.pipeline.images.refusals import CODES
from booru_ml.types import Picture
from tests.booru_ml.images.pictures import encoded


def seeds() -> list[bytes]:
    first = Image.radial_gradient("L").resize((48, 40)).convert("RGB")
    later = [first.rotate(90 * number) for number in (1, 2, 3)]
    exif = Image.Exif()
    exif[0x0112] = 6
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    found = [encoded(first, kind, exif=exif, icc_profile=profile) for kind in ("JPEG", "PNG", "WEBP", "AVIF")]
    found += [
        encoded(first, kind, save_all=True, append_images=later) for kind in ("GIF", "PNG", "WEBP", "AVIF", "MPO")
    ]
    found += [
        encoded(first, "JPEG", progressive=True),
        encoded(first.convert("CMYK"), "JPEG"),
        encoded(first.convert("LA"), "PNG"),
        encoded(first.quantize(16), "PNG", transparency=3),
        encoded(first.convert("I;16"), "PNG"),
    ]
    return found


SEEDS = seeds()
flips = st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), max_size=12)


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    seed=st.sampled_from(SEEDS),
    flips=flips,
    head=st.booleans(),
    cut=st.one_of(st.none(), st.floats(0, 1)),
    splice=st.one_of(st.none(), st.tuples(st.sampled_from(SEEDS), st.floats(0, 1), st.floats(0, 1))),
)
def test_damaged_files_give_pictures_or_refusals(
    seed: bytes,
    flips: list[tuple[float, int]],
    head: bool,
    cut: float | None,
    splice: tuple[bytes, float, float] | None,
    pool: DecoderPool,
) -> None:
    data = bytearray(seed)
    for position, value in flips:
        data[int(position * (min(200, len(data)) if head else len(data)))] = value
    if cut is not None:
        del data[int(cut * len(data)) :]
    if splice is not None:
        other, start, at = splice
        data[int(at * len(data)) :] = other[int(start * len(other)) :]
    future: Future[Picture] = pool.submit(io.BytesIO(bytes(data)))
    try:
        picture = future.result(timeout=60)
    except PictureRefused as error:
        assert error.code in CODES - {"crashed", "timeout"}  # noqa: PT017
    else:
        assert 1 <= len(picture.frames) <= 3
        assert max(max(frame.shape[:2]) for frame in picture.frames) <= pool.limits.canvas_side


@pytest.mark.parametrize("seed", SEEDS)
def test_every_undamaged_seed_is_a_picture(seed: bytes, pool: DecoderPool) -> None:
    assert pool.submit(io.BytesIO(seed)).result(timeout=60).frames
