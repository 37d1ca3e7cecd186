"""How pictures are varied on their way to a network."""

from __future__ import annotations

import pytest
import torch

from booru_ml.training.pictures import augmentation, lines

LOOK = ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))


def _face() -> torch.Tensor:
    """Two plain colours, three pixels of black between them."""
    pixels = torch.empty(3, 32, 32, dtype=torch.uint8)
    pixels[:, :, :16] = torch.tensor([220, 120, 60], dtype=torch.uint8)[:, None, None]
    pixels[:, :, 16:] = torch.tensor([90, 160, 230], dtype=torch.uint8)[:, None, None]
    pixels[:, :, 15:18] = 0
    return pixels


def test_lines_leave_dark_strokes_on_white_paper() -> None:
    torch.manual_seed(0)
    drawn = lines(_face())
    assert drawn.dtype is torch.uint8
    assert drawn.shape == (3, 32, 32)
    assert torch.equal(drawn, drawn[:1].expand(3, -1, -1)), "no colour"
    assert int(drawn[:, :, 16].max()) == 0, "the stroke stays black"
    assert int(drawn[:, :, [0, 1, 2, 29, 30, 31]].min()) >= 250, "plain colours, whichever, become paper"


def test_black_pictures_have_lines_too() -> None:
    """Nothing is divided by nothing."""
    assert int(lines(torch.zeros(3, 16, 16, dtype=torch.uint8)).max()) == 0


def test_sketch_takes_the_colour_off_a_third_of_the_pictures() -> None:
    torch.manual_seed(0)
    vary = augmentation("sketch", 24, *LOOK)
    grey = 0
    for _ in range(400):
        pixels = vary(_face())
        assert pixels.shape == (3, 24, 24)
        grey += bool((pixels[0] - pixels[1]).abs().max() < 0.02)
    assert 0.25 < grey / 400 < 0.42


@pytest.mark.parametrize("name", ["strong", "sketch"])
def test_a_seed_decides_the_variation(name: str) -> None:
    vary = augmentation(name, 24, *LOOK)
    found = []
    for _ in range(2):
        torch.manual_seed(7)
        found.append([vary(_face()) for _ in range(8)])
    assert all(torch.equal(one, other) for one, other in zip(*found, strict=True))
