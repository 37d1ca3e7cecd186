"""Heads: small modules on one backbone's features; each knows how to read its own tensors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from booru_ml.checkpoint.heads import Head, HeadKind
from booru_ml.errors import CheckpointError
from booru_ml.nn.style import Statistics

if TYPE_CHECKING:
    from booru_ml.nn.backbones import Backbone, Features


class Vector(nn.Module):
    """Raw features less ``mean``, by ``projection`` (dim × width; whitening, or fewer dimensions), then L2.

    A head that is not ``projected`` keeps the features' own axes; without a mean of its own it is centred at zero.
    """

    mean: Tensor
    projection: Tensor | None

    def __init__(self, head: Head, backbone: Backbone) -> None:
        super().__init__()
        self.stages = head.stages
        self.statistics = None
        if head.stages:
            self.statistics = Statistics(backbone.channels, head.stages, head.regions, head.statistics, head.widest)
        width = self.statistics.width if self.statistics else backbone.width
        if not head.projected and head.dim != width:
            raise CheckpointError(f"Head {head.name}: dim is {head.dim}, its features have {width}.")
        self.register_buffer("mean", torch.zeros(width))
        self.register_buffer("projection", torch.zeros(head.dim or width, width) if head.projected else None)

    def forward(self, features: Features, _: Mapping[str, Tensor]) -> Tensor:
        vector = self.raw(features) - self.mean
        if self.projection is not None:
            vector = F.linear(vector, self.projection)
        return F.normalize(vector, dim=1)

    def raw(self, features: Features) -> Tensor:
        """The features before any centring: pooled ones, or, where the head names stages, their maps' statistics."""
        return features.pooled if self.statistics is None else self.statistics(features.maps)


class Scored(nn.Module):
    """Probabilities over labels: linear or a small ReLU network on the head's inputs, then softmax or sigmoid.

    Ordinal: one score and monotone ``thresholds``, P(y > k) = σ(score − threshold_k), given back as the probability of
    each label (cumulative logits, McCullagh 1980).
    """

    def __init__(self, head: Head, width: int) -> None:
        super().__init__()
        self.kind = head.kind
        self.inputs = head.inputs
        out = 1 if head.kind is HeadKind.ORDINAL else len(head.labels)
        widths = [width, *head.hidden, out]
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in pairwise(widths))
        if head.kind is HeadKind.ORDINAL:
            self.register_buffer("thresholds", torch.arange(len(head.labels) - 1, dtype=torch.float32))

    def forward(self, features: Features, earlier: Mapping[str, Tensor]) -> Tensor:
        x = torch.cat([features.pooled if name == "pooled" else earlier[name] for name in self.inputs], dim=1)
        return probabilities(self.logits(x), self.kind, getattr(self, "thresholds", None))

    def logits(self, x: Tensor) -> Tensor:
        """Of the joined inputs (B, width)."""
        for layer in self.layers[:-1]:
            x = F.relu(layer(x))
        found: Tensor = self.layers[-1](x)
        return found


class FromClassifier(nn.Module):
    """Rows of the backbone's own last layer."""

    rows: Tensor

    def __init__(self, head: Head, classifier: nn.Module) -> None:
        super().__init__()
        self.kind = head.kind
        self.every = list(head.rows) == list(range(getattr(classifier, "out_features", -1)))
        self.register_buffer("rows", torch.tensor(head.rows), persistent=False)
        self.classifier = [classifier]  # in a list, so that its tensors stay the backbone's alone

    def forward(self, features: Features, _: Mapping[str, Tensor]) -> Tensor:
        logits = self.classifier[0](features.pooled)
        return probabilities(logits if self.every else logits.index_select(1, self.rows), self.kind)


class Derived(nn.Module):
    """Another head's probabilities by a constant matrix (own labels × its labels, columns adding up to one)."""

    matrix: Tensor

    def __init__(self, head: Head) -> None:
        super().__init__()
        self.source = head.source
        self.register_buffer("matrix", torch.tensor(head.matrix, dtype=torch.float32), persistent=False)

    def forward(self, _: Features, earlier: Mapping[str, Tensor]) -> Tensor:
        # No matrix product, which would be made in bfloat16 where others are: near 1 that has steps of 0.004.
        return (earlier[self.source].unsqueeze(1) * self.matrix).sum(dim=-1)


class Heatmap(nn.Module):
    """Convolutions on feature maps, (B, planes, H, W) of raw values; ``booru_ml.nn.faces`` reads them.

    Several stages are joined from the coarsest to the finest, whose H and W the planes have: each is brought to the
    first hidden width by a 1×1 convolution and added (Lin et al., "Feature Pyramid Networks", 2017).
    """

    def __init__(self, head: Head, channels: Mapping[int, int]) -> None:
        super().__init__()
        self.stages = tuple(sorted(head.stages))
        several = len(self.stages) > 1
        if several and not head.hidden:
            raise CheckpointError(f"Head {head.name}: several stages need a hidden width to meet in.")
        joined = [channels[stage] for stage in self.stages] if several else []
        self.laterals = nn.ModuleList(nn.Conv2d(width, head.hidden[0], 1) for width in joined)
        widths = [*(head.hidden if several else [channels[self.stages[0]], *head.hidden]), len(head.channels)]
        last = len(widths) - 2
        self.layers = nn.ModuleList(
            nn.Conv2d(a, b, 1 if i == last and i else head.kernel, padding="same")
            for i, (a, b) in enumerate(pairwise(widths))
        )

    def forward(self, features: Features, _: Mapping[str, Tensor]) -> Tensor:
        return self.planes([features.maps[stage] for stage in self.stages])

    def planes(self, maps: Sequence[Tensor]) -> Tensor:
        """Of maps (B, C, H, W) of its stages, finest first."""
        x = self._join(maps)
        for layer in self.layers[:-1]:
            x = F.relu(layer(x))
        found: Tensor = self.layers[-1](x)
        return found

    def _join(self, maps: Sequence[Tensor]) -> Tensor:
        """One map (B, C, H, W) of the maps, finest first."""
        if not self.laterals:
            return maps[0]
        joined = self.laterals[-1](maps[-1])
        for lateral, finer in zip(reversed(self.laterals[:-1]), reversed(maps[:-1]), strict=True):
            joined = lateral(finer) + F.interpolate(joined, size=finer.shape[2:], mode="nearest")
        return F.relu(joined)


def probabilities(logits: Tensor, kind: HeadKind, thresholds: Tensor | None = None) -> Tensor:
    """(B, labels) from logits; ordinal heads bring one logit and their thresholds."""
    if kind is HeadKind.SOFTMAX:
        return logits.float().softmax(dim=1)
    if kind is HeadKind.SIGMOID:
        return logits.float().sigmoid()
    if thresholds is None:
        raise ValueError("an ordinal head needs thresholds")
    above = (logits.float() - thresholds).sigmoid()
    one, none = torch.ones_like(above[:, :1]), torch.zeros_like(above[:, :1])
    return torch.cat([one, above], dim=1) - torch.cat([above, none], dim=1)


def build(head: Head, backbone: Backbone, widths: Mapping[str, int]) -> nn.Module:
    """The module of one head; ``widths`` are the lengths of the vectors it may take as input."""
    if head.is_vector:
        return Vector(head, backbone)
    if head.kind is HeadKind.HEATMAP:
        return Heatmap(head, backbone.channels)
    if head.source == "classifier":
        return FromClassifier(head, backbone.classifier)
    if head.source:
        return Derived(head)
    return Scored(head, sum(widths[name] for name in head.inputs))
