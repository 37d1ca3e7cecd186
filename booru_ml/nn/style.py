"""Statistics of feature maps: how a picture is drawn and coloured, out of the same forward pass as everything else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

EPSILON = 1e-6
THIRDS = ("upper", "middle", "lower")


def statistics(maps: Mapping[int, Tensor], stages: Sequence[int], regions: Sequence[str] = ()) -> Tensor:
    """Raw statistics (B, (2 + regions)·ΣC) of the maps (B, C, H, W) of ``stages``.

    For each stage its channels' means and standard deviations over the whole map (Gatys et al. 2016; Huang & Belongie
    2017), then the means over each of ``regions``: ``upper``, ``middle``, ``lower`` third. Mirroring the picture leaves
    all of them as they are, but for what the convolutions themselves make of it.
    """
    parts = []
    for stage in stages:
        flat = maps[stage].flatten(2)
        mean = flat.mean(dim=2)
        spread = (flat - mean.unsqueeze(2)).square().mean(dim=2)
        parts += [mean, (spread + EPSILON).sqrt()]
        parts += [third(maps[stage], region).mean(dim=(2, 3)) for region in regions]
    return torch.cat(parts, dim=1)


def third(features: Tensor, region: str) -> Tensor:
    """The rows of one third of the maps; the middle one takes what does not divide."""
    rows = int(features.shape[2])
    size = max(1, (rows + 1) // 3)
    if region == "upper":
        return features[:, :, :size]
    if region == "lower":
        return features[:, :, rows - size :]
    if region == "middle":
        return features[:, :, size : rows - size] if rows > 2 * size else features
    raise ValueError(f"a region is one of {', '.join(THIRDS)}, not {region!r}")


def width(channels: Mapping[int, int], stages: Sequence[int], regions: Sequence[str] = ()) -> int:
    """Length of ``statistics``."""
    return (2 + len(regions)) * sum(channels[stage] for stage in stages)
