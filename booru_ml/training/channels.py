"""Channels of feature maps turned to their principal axes, so that correlations say how a picture differs from others.

A backbone's channels go together in much the same way on every picture, and that tells no hand from another. Mixed to
channels that are uncorrelated over all pictures, they correlate only as far as one picture is drawn in its own way.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

from booru_ml.nn.style import Statistics

ENOUGH = 1000
"""Pictures that settle the axes: each of them has tens to hundreds of places."""
TINY = 1e-6


def turn(statistics: Statistics, stages: Sequence[int], maps: Iterable[Sequence[Tensor]]) -> None:
    """Sets the mixtures of ``statistics`` by the ``maps`` (B, C, H, W) of ``stages``, batch by batch; no labels."""
    sums = [torch.zeros(0)] * len(stages)
    for batch in maps:
        found = [within(each) for each in batch]
        sums = [total + each if len(total) else each for total, each in zip(sums, found, strict=True)]
    for stage, total in zip(stages, sums, strict=True):
        mixture = statistics.get_buffer(f"correlations.{stage}.mixture")
        mixture.copy_(principal(total, len(mixture)))


def within(maps: Tensor) -> Tensor:
    """Covariance C × C of the channels over the places of each picture, summed over the batch."""
    flat = maps.flatten(2).double()
    flat = flat - flat.mean(dim=2, keepdim=True)
    return (flat @ flat.transpose(1, 2)).sum(dim=0) / flat.shape[2]


def principal(covariance: Tensor, count: int) -> Tensor:
    """The ``count`` strongest principal axes, count × C, each scaled to a variance of one."""
    strength, axes = torch.linalg.eigh(covariance)
    scale = strength[-count:].clamp(min=TINY * float(strength[-1])).sqrt()
    turned: Tensor = (axes[:, -count:] / scale).T.flip(0)
    return turned
