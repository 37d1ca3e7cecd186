"""Statistics of feature maps: how a picture is drawn and coloured, out of the same forward pass as everything else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from booru_ml.checkpoint.heads import MOMENTS, WIDEST, Statistic

EPSILON = 1e-6
THIRDS = ("upper", "middle", "lower")


class Statistics(nn.Module):
    """Raw statistics (B, ``width``) of the maps (B, C, H, W) of ``stages``.

    For each stage, as ``kinds`` say: its channels' means and standard deviations over the whole map (Huang & Belongie
    2017), the correlations of each two of them (Gram matrices, Gatys et al. 2016); then the means over each of
    ``regions``: ``upper``, ``middle``, ``lower`` third. Mirroring the picture leaves all of them as they are, but for
    what the convolutions themselves make of it.
    """

    def __init__(
        self,
        channels: Mapping[int, int],
        stages: Sequence[int],
        regions: Sequence[str] = (),
        kinds: Sequence[Statistic] = MOMENTS,
        widest: int = WIDEST,
    ) -> None:
        super().__init__()
        self.stages, self.regions = tuple(stages), tuple(regions)
        self.moments = Statistic.MOMENTS in kinds
        correlated = self.stages if Statistic.CORRELATIONS in kinds else ()
        self.correlations = nn.ModuleDict({str(stage): Correlations(channels[stage], widest) for stage in correlated})
        means = (2 if self.moments else 0) + len(self.regions)
        self.width = means * sum(channels[stage] for stage in self.stages)
        for stage in correlated:
            kept = min(channels[stage], widest)
            self.width += kept * (kept - 1) // 2

    def forward(self, maps: Mapping[int, Tensor]) -> Tensor:
        parts = []
        for stage in self.stages:
            if self.moments:
                parts.append(moments(maps[stage]))
            if str(stage) in self.correlations:
                parts.append(self.correlations[str(stage)](maps[stage]))
            parts += [third(maps[stage], region).mean(dim=(2, 3)) for region in self.regions]
        return torch.cat(parts, dim=1)


class Correlations(nn.Module):
    """B × K·(K−1)/2 of maps (B, C, H, W): of each two of K channels over a picture's places, −1 to 1.

    Their number grows with the square of the channels, so ``mixture`` (K × C) makes ``widest`` out of more than these.
    It is saved with a head. Until one is fitted it leaves a narrow map's channels as they are and mixes a wide one's
    at random, which keeps distances, and so correlations, nearly as they are (Johnson & Lindenstrauss 1984).
    """

    mixture: Tensor
    pairs: Tensor

    def __init__(self, channels: int, widest: int) -> None:
        super().__init__()
        count = min(channels, widest)
        seeded = torch.Generator().manual_seed(0)
        random = torch.randn(count, channels, generator=seeded, device="cpu")  # also where a network is only laid out
        self.register_buffer("mixture", random if count < channels else torch.eye(channels))
        pairs = [row * count + column for row in range(count) for column in range(row + 1, count)]
        self.register_buffer("pairs", torch.tensor(pairs, dtype=torch.int64), persistent=False)

    def forward(self, features: Tensor) -> Tensor:
        flat = features.flatten(2).float()
        flat = self.mixture.float() @ (flat - flat.mean(dim=2, keepdim=True))
        # Scaled before they are multiplied: no product is larger than 1, so half precision cannot overflow. And a
        # channel that says nothing has no correlations, rather than those of its rounding errors.
        flat = flat / (flat.square().sum(dim=2, keepdim=True) + EPSILON * flat.shape[2]).sqrt()
        products = (flat @ flat.transpose(1, 2)).flatten(1)
        return products.index_select(1, self.pairs).to(features.dtype)


def moments(features: Tensor) -> Tensor:
    """B × 2·C of maps (B, C, H, W): each channel's mean, then each one's standard deviation."""
    flat = features.flatten(2)
    mean = flat.mean(dim=2)
    spread = (flat - mean.unsqueeze(2)).square().mean(dim=2)
    return torch.cat([mean, (spread + EPSILON).sqrt()], dim=1)


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
