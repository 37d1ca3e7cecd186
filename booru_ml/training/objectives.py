"""What is made small: a loss on a backbone's features, with the head that answers later, if it is kept."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from booru_ml.checkpoint.heads import Head, HeadKind
from booru_ml.errors import InvalidInput
from booru_ml.nn.backbones import Backbone
from booru_ml.nn.heads import Scored, probabilities
from booru_ml.training.ordinal import log_likelihood
from booru_ml.training.settings import Settings


class Objective(nn.Module):
    """``forward(features, target)``: the loss of (B, D) features."""

    def answer(self, features: Tensor) -> Tensor:
        """Probabilities (B, labels)."""
        raise TypeError(f"{type(self).__name__} shapes an embedding; its classes answer nothing")

    def tensors(self) -> Mapping[str, Tensor]:
        """What is kept of it, under the names that ``booru_ml.nn.heads`` gives them."""
        return {}


class CosineMargin(Objective):
    """CosFace (Wang et al. 2018): cross-entropy of s·(cos θ − m·[own class]), class weights on the unit sphere."""

    def __init__(self, features: int, classes: int, settings: Settings) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(classes, features) * 0.01)
        self.scale, self.margin, self.smoothing = settings.scale, settings.margin, settings.smoothing

    def forward(self, features: Tensor, target: Tensor) -> Tensor:
        cosine = functional.normalize(features) @ functional.normalize(self.weight).T
        own = functional.one_hot(target, cosine.shape[1]).to(cosine.dtype)
        logits = self.scale * (cosine - self.margin * own)
        return functional.cross_entropy(logits, target, label_smoothing=self.smoothing)


class Angular(Objective):
    """ArcFace (Deng et al. 2019), or its sub-centres (2020) for labels that are partly wrong; margin in radians."""

    def __init__(self, features: int, classes: int, settings: Settings) -> None:
        super().__init__()
        from pytorch_metric_learning import losses

        make = losses.SubCenterArcFaceLoss if settings.objective == "subcenter" else losses.ArcFaceLoss
        degrees = settings.margin * 180 / torch.pi
        self.loss = make(num_classes=classes, embedding_size=features, margin=degrees, scale=settings.scale)

    def forward(self, features: Tensor, target: Tensor) -> Tensor:
        found: Tensor = self.loss(features, target)
        return found


class Answering(Objective):
    """The likelihood of a scored head's answer: cross-entropy, binary cross-entropy of each tag, cumulative logits.

    A tag's target below 0 is unknown, and left out.
    """

    def __init__(self, head: Head, features: int, settings: Settings) -> None:
        super().__init__()
        self.kind, self.smoothing = head.kind, settings.smoothing
        self.scored = Scored(head, features)
        self.dropout = nn.Dropout(settings.dropout)
        if self.kind is HeadKind.ORDINAL:
            self.first = nn.Parameter(torch.tensor(1.0 - len(head.labels) / 2))
            self.rises = nn.Parameter(torch.full((len(head.labels) - 2,), 0.5))

    def thresholds(self) -> Tensor:
        """Strictly rising, whatever is learned."""
        return torch.cat([self.first[None], self.first + torch.cumsum(functional.softplus(self.rises) + 1e-3, dim=0)])

    def forward(self, features: Tensor, target: Tensor) -> Tensor:
        logits = self.scored.logits(self.dropout(features))
        if self.kind is HeadKind.SIGMOID:
            known = (target >= 0).to(logits.dtype)
            found = functional.binary_cross_entropy_with_logits(logits, target.clamp(min=0), known, reduction="sum")
            loss: Tensor = found / known.sum().clamp(min=1)
            return loss
        if self.kind is HeadKind.ORDINAL:
            return -log_likelihood(logits[:, 0].float(), self.thresholds(), target).mean()
        return functional.cross_entropy(logits, target, label_smoothing=self.smoothing)

    def answer(self, features: Tensor) -> Tensor:
        limits = self.thresholds() if self.kind is HeadKind.ORDINAL else None
        return probabilities(self.scored.logits(features), self.kind, limits)

    def tensors(self) -> Mapping[str, Tensor]:
        found = dict(self.scored.state_dict())
        if self.kind is HeadKind.ORDINAL:
            found["thresholds"] = self.thresholds().detach()
        return found


class Learner(nn.Module):
    """Backbone and objective: ``forward(pixels, target)`` is the loss. Pooled features may come instead of pixels."""

    def __init__(self, model: nn.Module, objective: Objective) -> None:
        super().__init__()
        self.backbone = Backbone(model)
        self.objective = objective

    def forward(self, pixels: Tensor, target: Tensor) -> Tensor:
        features = self.features(pixels)
        # Angles and likelihoods near 0 lose their digits in half precision.
        with torch.autocast(features.device.type, enabled=False):
            loss: Tensor = self.objective(features.float(), target)
        return loss

    def features(self, pixels: Tensor) -> Tensor:
        if pixels.ndim == 2:
            return pixels
        return self.backbone.features(pixels.contiguous(memory_format=torch.channels_last)).pooled


class Frozen:
    """Which modules of a backbone stay as they are: neither their weights nor their normalisation move."""

    def __init__(self, model: nn.Module, wanted: tuple[str, ...]) -> None:
        """``wanted``: names of modules, or one share (0–1) of the layers with weights, from the first on."""
        share = _share(wanted)
        self.everything = share == 1.0
        self.modules: list[nn.Module] = []
        self.layers: list[nn.Module] = []
        if share is None:
            known: dict[str, Any] = dict(model.named_modules())
            if unknown := set(wanted) - set(known):
                raise InvalidInput(
                    f"The backbone has no module {', '.join(sorted(unknown))} to be frozen; its first ones are "
                    f"{', '.join(name for name, _ in model.named_children())}. A number from 0 to 1 is a share."
                )
            self.modules = [known[name] for name in wanted]
        elif self.everything:
            self.modules = [model]
        else:
            layers = [module for module in model.modules() if list(module.parameters(recurse=False))]
            self.layers = layers[: round(share * len(layers))]

    def hold(self) -> None:
        """To be called after every ``train()``."""
        for module in self.modules:
            module.eval().requires_grad_(False)
        # Without what is inside: a whole ViT is the layer that holds its position embedding.
        for layer in self.layers:
            layer.training = False
            for parameter in layer.parameters(recurse=False):
                parameter.requires_grad_(False)


def _share(wanted: tuple[str, ...]) -> float | None:
    try:
        (text,) = wanted
        share = float(text)
    except ValueError:
        return None
    if not 0 <= share <= 1:
        raise InvalidInput(f"The frozen share of a backbone lies between 0 and 1, not {text}.")
    return share
