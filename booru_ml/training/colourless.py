"""Pictures without their colours: what a photocopy, a pencil or a pen would make of them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence

import torch
from torch import Tensor
from torchvision.transforms.v2 import functional

from booru_ml.types import PixelArray

PEN, WIDER, SHARPNESS, PAPER, EDGE = 1 / 300, 1.6, 20.0, 0.75, 12.0
"""Of ``contours``: the pen's width as a part of the long side; how much wider its surroundings are; how much it counts
to be darker than these; from which brightness on paper stays white; how hard an edge is."""


def grey(pixels: Tensor) -> Tensor:
    """The brightness of a picture (3, H, W), uint8."""
    bright: Tensor = functional.rgb_to_grayscale(pixels, num_output_channels=3)
    return bright


def lines(pixels: Tensor) -> Tensor:
    """What a pencil would copy of a picture (3, H, W), uint8: where it is darker than what is about it ("colour
    dodge"), with a pencil of some width and some pressure."""
    width, pressure = (float(torch.empty(1).uniform_(*span)) for span in ((0.6, 2.5), (1.0, 4.0)))
    bright = grey(pixels).float()
    paper: Tensor = (bright / _about(bright, width).clamp(min=1.0)).clamp(max=1.0) ** pressure
    return (255 * paper).to(torch.uint8)


def contours(pixels: Tensor) -> Tensor:
    """What a pen would copy of a picture (3, H, W), uint8: its edges and what is dark, in black (an extended difference
    of Gaussians; Winnemöller, Kyprianidis & Olsen 2012)."""
    bright = grey(pixels).float() / 255
    width = PEN * max(pixels.shape[1:])
    sharp = (1 + SHARPNESS) * _about(bright, width) - SHARPNESS * _about(bright, WIDER * width)
    ink: Tensor = torch.where(sharp >= PAPER, 1.0, 1 + torch.tanh(EDGE * (sharp - PAPER)))
    return (255 * ink).to(torch.uint8)


VIEWS: Mapping[str, Callable[[Tensor], Tensor]] = {"grey": grey, "lines": lines, "contours": contours}


def views(frame: PixelArray, names: Sequence[str], *, seed: int) -> Iterator[PixelArray]:
    """The frame (H×W×3, uint8) by each of these views."""
    pixels = torch.from_numpy(frame.copy()).permute(2, 0, 1)
    for name in names:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            yield VIEWS[name](pixels).permute(1, 2, 0).numpy()


def _about(pixels: Tensor, width: float) -> Tensor:
    blurred: Tensor = functional.gaussian_blur(pixels, [2 * math.ceil(2 * width) + 1] * 2, [width] * 2)
    return blurred
