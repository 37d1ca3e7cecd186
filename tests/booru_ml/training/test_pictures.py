"""How pictures are varied on their way to a network."""

from __future__ import annotations

import pytest
import torch

from booru_ml.training.pictures import augmentation
from tests.booru_ml.training.pictures import face

LOOK = ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))


def test_sketch_takes_the_colour_off_a_third_of_the_pictures() -> None:
    torch.manual_seed(0)
    vary = augmentation("sketch", 24, *LOOK)
    grey = 0
    for _ in range(400):
        pixels = vary(face())
        assert pixels.shape == (3, 24, 24)
        grey += bool((pixels[0] - pixels[1]).abs().max() < 0.02)
    assert 0.25 < grey / 400 < 0.42


@pytest.mark.parametrize("name", ["strong", "sketch"])
def test_a_seed_decides_the_variation(name: str) -> None:
    vary = augmentation(name, 24, *LOOK)
    found = []
    for _ in range(2):
        torch.manual_seed(7)
        found.append([vary(face()) for _ in range(8)])
    assert all(torch.equal(one, other) for one, other in zip(*found, strict=True))
