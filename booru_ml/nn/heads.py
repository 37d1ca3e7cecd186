"""Heads: small modules on one backbone's features; each knows how to read its own tensors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from booru_ml.checkpoint.schema import Head, HeadKind
from booru_ml.errors import CheckpointError

if TYPE_CHECKING:
    from booru_ml.nn.backbones import Backbone, Features

EPSILON = 1e-6


class Embedding(nn.Module):
    """Pooled features less ``mean``, by ``projection`` (dim × width) where the checkpoint has them, then L2."""

    def __init__(self, head: Head, width: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(width))
        self.register_buffer("projection", torch.zeros(head.dim or width, width) if head.projected else None)
        if self.projection is None and head.dim != width:
            raise CheckpointError(f"Head {head.name}: dim is {head.dim}, the backbone gives {width}.")

    def forward(self, features: Features, _: Mapping[str, Tensor]) -> Tensor:
        vector = features.pooled - self.mean
        if self.projection is not None:
            vector = vector @ self.projection.T
        return F.normalize(vector, dim=1)


class Style(nn.Module):
    """Mean and standard deviation of each channel of early and middle maps: how it is drawn, not what.

    (Gatys et al. 2016; Huang & Belongie 2017.) Statistics are centred by ``mean`` and scaled by ``scale``, then L2.
    """

    def __init__(self, head: Head, channels: Mapping[int, int]) -> None:
        super().__init__()
        self.stages = head.stages
        width = 2 * sum(channels[stage] for stage in head.stages)
        if width != head.dim:
            raise CheckpointError(f"Head {head.name}: dim is {head.dim}, its stages give {width}.")
        self.register_buffer("mean", torch.zeros(width))
        self.register_buffer("scale", torch.ones(width))

    def forward(self, features: Features, _: Mapping[str, Tensor]) -> Tensor:
        return F.normalize((style_statistics(features, self.stages) - self.mean) * self.scale, dim=1)


def style_statistics(features: Features, stages: tuple[int, ...]) -> Tensor:
    """Raw statistics (B, 2·ΣC): for each stage its channels' means, then their standard deviations."""
    parts = []
    for stage in stages:
        flat = features.maps[stage].flatten(2)
        mean = flat.mean(dim=2)
        spread = (flat - mean.unsqueeze(2)).square().mean(dim=2)
        parts += [mean, (spread + EPSILON).sqrt()]
    return torch.cat(parts, dim=1)


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
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in zip(widths, widths[1:], strict=False))
        if head.kind is HeadKind.ORDINAL:
            self.register_buffer("thresholds", torch.arange(len(head.labels) - 1, dtype=torch.float32))

    def forward(self, features: Features, earlier: Mapping[str, Tensor]) -> Tensor:
        x = torch.cat([features.pooled if name == "pooled" else earlier[name] for name in self.inputs], dim=1)
        for layer in self.layers[:-1]:
            x = F.relu(layer(x))
        return probabilities(self.layers[-1](x), self.kind, getattr(self, "thresholds", None))


class FromClassifier(nn.Module):
    """Rows of the backbone's own last layer."""

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

    def __init__(self, head: Head) -> None:
        super().__init__()
        self.source = head.source
        self.register_buffer("matrix", torch.tensor(head.matrix, dtype=torch.float32), persistent=False)

    def forward(self, _: Features, earlier: Mapping[str, Tensor]) -> Tensor:
        return earlier[self.source] @ self.matrix.T


class Heatmap(nn.Module):
    """Convolutions on one feature map, (B, planes, H, W) of raw values; ``booru_ml.nn.faces`` reads them."""

    def __init__(self, head: Head, channels: Mapping[int, int]) -> None:
        super().__init__()
        self.stage = head.stages[0]
        widths = [channels[self.stage], *head.hidden, len(head.channels)]
        last = len(widths) - 2
        self.layers = nn.ModuleList(
            nn.Conv2d(a, b, 1 if i == last and i else head.kernel, padding="same")
            for i, (a, b) in enumerate(zip(widths, widths[1:], strict=False))
        )

    def forward(self, features: Features, _: Mapping[str, Tensor]) -> Tensor:
        x = features.maps[self.stage]
        for layer in self.layers[:-1]:
            x = F.relu(layer(x))
        return self.layers[-1](x)


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
    if head.kind is HeadKind.EMBEDDING:
        return Embedding(head, backbone.width)
    if head.kind is HeadKind.STYLE:
        return Style(head, backbone.channels)
    if head.kind is HeadKind.HEATMAP:
        return Heatmap(head, backbone.channels)
    if head.source == "classifier":
        return FromClassifier(head, backbone.classifier)
    if head.source:
        return Derived(head)
    return Scored(head, sum(widths[name] for name in head.inputs))
