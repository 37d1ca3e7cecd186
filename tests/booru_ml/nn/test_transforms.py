"""Pixels reach the network as its checkpoint says."""

from __future__ import annotations

import numpy as np
import pytest

from booru_ml.checkpoint import Preprocess
from booru_ml.nn.transforms import crop_square, fit, normalise, shape_key
from booru_ml.types import Box, PixelArray

RED = (255, 0, 0)


def plain(height: int, width: int, colour: tuple[int, int, int] = RED) -> PixelArray:
    return np.full((height, width, 3), colour, np.uint8)


@pytest.mark.parametrize("resize", ["squash", "pad", "crop"])
@pytest.mark.parametrize("shape", [(1, 1), (5, 400), (400, 5), (64, 64), (33, 71)])
def test_every_shape_becomes_the_networks_size(resize: str, shape: tuple[int, int]) -> None:
    fitted = fit(plain(*shape), Preprocess(40, 24, resize=resize))
    assert fitted.shape == (24, 40, 3)
    assert fitted.dtype == np.uint8


def test_squashing_keeps_every_part() -> None:
    frame = np.concatenate([plain(100, 50), plain(100, 50, (0, 0, 255))], axis=1)
    fitted = fit(frame, Preprocess(10, 10, interpolation="nearest"))
    assert tuple(fitted[0, 0]) == RED
    assert tuple(fitted[9, 9]) == (0, 0, 255)


def test_padding_centres_on_white() -> None:
    fitted = fit(plain(20, 60), Preprocess(30, 30, resize="pad", interpolation="nearest"))
    assert tuple(fitted[0, 15]) == (255, 255, 255)
    assert tuple(fitted[15, 15]) == RED
    assert tuple(fitted[29, 15]) == (255, 255, 255)


def test_cropping_takes_the_middle() -> None:
    frame = np.concatenate([plain(30, 30, (0, 0, 0)), plain(30, 30), plain(30, 30, (0, 0, 0))], axis=1)
    assert np.all(fit(frame, Preprocess(30, 30, resize="crop")) == RED)
    inner = fit(frame, Preprocess(30, 30, resize="crop", crop_pct=0.5))
    assert np.all(inner == RED)


def test_normalising_subtracts_the_mean_and_divides_by_the_deviation() -> None:
    preprocess = Preprocess(2, 2, mean=(0.5, 0.25, 0.0), std=(0.5, 0.25, 2.0))
    batch = normalise([plain(2, 2, (255, 0, 51))], preprocess)
    assert batch.shape == (1, 3, 2, 2)
    assert batch.dtype == np.float32
    np.testing.assert_allclose(batch[0, :, 0, 0], [1.0, -1.0, 0.1], atol=1e-6)


def test_bgr_networks_get_blue_first() -> None:
    batch = normalise([plain(2, 2, (255, 128, 0))], Preprocess(2, 2, channels="BGR"))
    np.testing.assert_allclose(batch[0, :, 0, 0], [0.0, 128 / 255, 1.0], atol=1e-6)


def test_equal_shapes_share_their_pixels_whatever_the_normalisation() -> None:
    assert shape_key(Preprocess(8, 8)) == shape_key(Preprocess(8, 8, mean=(1.0, 1.0, 1.0), channels="BGR"))
    assert shape_key(Preprocess(8, 8)) != shape_key(Preprocess(8, 8, resize="pad"))


def test_a_crop_is_square_with_its_margin() -> None:
    frame = plain(100, 200)
    frame[40:60, 90:110] = (0, 255, 0)
    crop = crop_square(frame, Box(0.45, 0.4, 0.1, 0.2), margin=1.5)
    assert crop.shape == (30, 30, 3)
    assert tuple(crop[15, 15]) == (0, 255, 0)
    assert tuple(crop[0, 0]) == RED


def test_a_crop_over_the_edge_is_filled_with_white() -> None:
    crop = crop_square(plain(100, 100), Box(0.0, 0.0, 0.2, 0.2), margin=2.0)
    assert crop.shape == (40, 40, 3)
    assert tuple(crop[0, 0]) == (255, 255, 255)
    assert tuple(crop[39, 39]) == RED


@pytest.mark.parametrize("box", [Box(0, 0, 0, 0), Box(1, 1, 0, 0), Box(0, 0, 1, 1), Box(-3, 2, 9, 9)])
def test_a_strange_box_gives_a_bounded_crop(box: Box) -> None:
    crop = crop_square(plain(50, 70), box, margin=1.2)
    assert crop.shape[0] == crop.shape[1]
    assert 1 <= crop.shape[0] <= 140
