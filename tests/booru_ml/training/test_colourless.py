"""What is left of a picture without its colours."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from booru_ml.management.commands.booru_train import COLOURLESS
from booru_ml.training.colourless import VIEWS, views
from tests.booru_ml.training.pictures import face


@pytest.mark.parametrize("name", VIEWS)
def test_no_colour_is_left(name: str) -> None:
    left = VIEWS[name](face())
    assert left.dtype is torch.uint8
    assert left.shape == (3, 32, 32)
    assert torch.equal(left, left[:1].expand(3, -1, -1))
    assert int(left[:, :, 16].max()) == 0, "the stroke stays black"


@pytest.mark.parametrize("name", ["lines", "contours"])
def test_bright_plains_become_paper(name: str) -> None:
    torch.manual_seed(0)
    pixels = face()
    pixels[pixels > 0] = pixels[pixels > 0] // 4 + 190
    assert int(VIEWS[name](pixels)[:, :, [0, 1, 2, 29, 30, 31]].min()) >= 250


def test_a_pencil_leaves_no_plain_however_dark_and_a_pen_fills_it() -> None:
    torch.manual_seed(0)
    dark = face() // 4
    assert int(VIEWS["lines"](dark)[:, :, :3].min()) >= 250
    assert int(VIEWS["contours"](dark)[:, :, :3].max()) == 0


@pytest.mark.parametrize("name", VIEWS)
def test_black_pictures_stay_black(name: str) -> None:
    """Nothing is divided by nothing."""
    assert int(VIEWS[name](torch.zeros(3, 16, 16, dtype=torch.uint8)).max()) == 0


def test_a_seed_decides_the_views_and_leaves_other_dice_alone() -> None:
    frame = face().permute(1, 2, 0).numpy()
    torch.manual_seed(1)
    before = torch.get_rng_state()
    first, second, other = (list(views(frame, COLOURLESS, seed=seed)) for seed in (3, 3, 4))
    assert torch.equal(torch.get_rng_state(), before)
    assert all(np.array_equal(one, two) for one, two in zip(first, second, strict=True))
    assert not np.array_equal(first[1], other[1])
    assert [view.shape for view in first] == [frame.shape] * 3


def test_the_command_knows_every_view() -> None:
    assert set(COLOURLESS) == set(VIEWS)
