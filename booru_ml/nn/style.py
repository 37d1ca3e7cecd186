"""Statistics of feature maps: how a picture is drawn and coloured, out of the same forward pass as everything else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from booru_ml.checkpoint.schema import MOMENTS, WIDEST, Statistic

EPSILON = 1e-6
THIRDS = ("upper", "middle", "lower")


class Statistics(nn.Module):
    """Raw statistics (B, ``width``) of the maps (B, C, H, W) of ``stages``; nothing in here is fitted.

    For each stage, as ``kinds`` say: its channels' means and standard deviations over the whole map (Huang & Belongie
    2017), the correlations of each two channels (Gram matrices, Gatys et al. 2016); then the means over each of
    ``regions``: ``upper``, ``middle``, ``lower`` third. Mirroring the picture leaves all of them as they are, but for
    what the convolutions themselves make of it.

    Correlations grow with the square of the channels, so maps of more than ``widest`` are mixed down first, at random: that
    keeps distances, and so correlations, nearly as they are (Johnson & Lindenstrauss 1984). The mixtures are tensors
    of the module, not a seed: what is saved with a head is the same with every release of torch.
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
        self.stages, self.regions, self.kinds = tuple(stages), tuple(regions), tuple(kinds)
        self.width = 0
        for stage in self.stages:
            count = channels[stage]
            self.width += (2 * (Statistic.MOMENTS in self.kinds) + len(self.regions)) * count
            if Statistic.CORRELATIONS in self.kinds:
                kept = min(count, widest)
                self.width += kept * (kept - 1) // 2
                mixture = torch.randn(kept, count, generator=torch.Generator().manual_seed(0))
                self.register_buffer(_mixture(stage), mixture if count > widest else None)

    def forward(self, maps: Mapping[int, Tensor]) -> Tensor:
        parts = []
        for stage in self.stages:
            if Statistic.MOMENTS in self.kinds:
                parts.append(moments(maps[stage]))
            if Statistic.CORRELATIONS in self.kinds:
                parts.append(correlations(maps[stage], getattr(self, _mixture(stage))))
            parts += [third(maps[stage], region).mean(dim=(2, 3)) for region in self.regions]
        return torch.cat(parts, dim=1)


def _mixture(stage: int) -> str:
    return f"mixture{stage}"


def moments(features: Tensor) -> Tensor:
    """B × 2·C of maps (B, C, H, W): each channel's mean, then each one's standard deviation."""
    flat = features.flatten(2)
    mean = flat.mean(dim=2)
    spread = (flat - mean.unsqueeze(2)).square().mean(dim=2)
    return torch.cat([mean, (spread + EPSILON).sqrt()], dim=1)


def correlations(features: Tensor, mixture: Tensor | None = None) -> Tensor:
    """B × K·(K−1)/2 of maps (B, C, H, W): of each two of K channels over a picture's places, −1 to 1.

    ``mixture`` (K × C) makes the K channels out of the map's own; without it they are these.
    """
    flat = features.flatten(2).float()
    # Scaled before they are multiplied: no product is larger than 1, so that half precision cannot overflow. And a
    # channel that says nothing has no correlations, rather than those of its rounding errors.
    flat = flat - flat.mean(dim=2, keepdim=True)
    if mixture is not None:
        flat = mixture.float() @ flat
    flat = flat / (flat.square().mean(dim=2, keepdim=True) + EPSILON).sqrt()
    count = int(flat.shape[1])
    pairs = [row * count + column for row in range(count) for column in range(row + 1, count)]
    products = (flat @ flat.transpose(1, 2) / flat.shape[2]).flatten(1)
    return products.index_select(1, torch.tensor(pairs, device=flat.device)).to(features.dtype)


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
