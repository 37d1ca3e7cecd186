"""Two small networks of the field's first papers under timm's rules, so that a checkpoint can name them like any other.

They learn from scratch in minutes and say what depth is worth; nobody should prefer them.
"""

from __future__ import annotations

from typing import Any

import torch
from timm.models import register_model
from torch import Tensor, nn

CONV2D = ((8, 4, 8), (16, 2, 4))
"""Filters, their size, and size and stride of the pooling after them: Conv2D of "Anime Artist Analysis"."""
SHALLOW = ((32, 5, 2), (64, 5, 2), (128, 3, 2))
"""LeNet's plan (LeCun et al. 1998) with wider layers: the baseline of DAF:re has five layers of this kind."""


class SmallNet(nn.Module):
    """Convolution, ReLU and max-pooling by ``plan``, all of them flattened, perhaps a ``hidden`` layer, a classifier.

    What the classifier sees has a length that follows from ``img_size``, so pictures must have exactly that side.
    """

    feature_info: list[dict[str, Any]] = []

    def __init__(
        self, plan: tuple[tuple[int, int, int], ...], *, img_size: int, hidden: int = 0, num_classes: int = 1000
    ) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        channels = 3
        for filters, kernel, pool in plan:
            layers += [nn.Conv2d(channels, filters, kernel, padding=1), nn.ReLU(), nn.MaxPool2d(pool, pool, 1)]
            channels = filters
        self.layers = nn.Sequential(*layers)
        side = img_size
        for _, kernel, pool in plan:
            side = (side + 2 - kernel + 1 + 2 - pool) // pool + 1
        flat = channels * side * side
        self.hidden = nn.Sequential(nn.Linear(flat, hidden), nn.ReLU()) if hidden else nn.Identity()
        self.num_features = self.head_hidden_size = hidden or flat
        self.reset_classifier(num_classes)

    def get_classifier(self) -> nn.Module:
        return self.fc

    def reset_classifier(self, num_classes: int) -> None:
        self.num_classes = num_classes
        self.fc: nn.Module = nn.Linear(self.num_features, num_classes) if num_classes else nn.Identity()

    def forward_features(self, x: Tensor) -> Tensor:
        found: Tensor = self.layers(x)
        return found

    def forward_head(self, x: Tensor, pre_logits: bool = False) -> Tensor:
        features: Tensor = self.hidden(torch.flatten(x, 1))
        return features if pre_logits else self.fc(features)

    def forward(self, x: Tensor) -> Tensor:
        return self.forward_head(self.forward_features(x))


@register_model  # type: ignore[untyped-decorator]
def conv2d_2layer(pretrained: bool = False, *, img_size: int = 500, num_classes: int = 1000, **_: Any) -> SmallNet:
    """Two convolutions and one linear layer; 16 × 16 × 16 features at its paper's 500 pixels."""
    return SmallNet(CONV2D, img_size=img_size, num_classes=num_classes)


@register_model  # type: ignore[untyped-decorator]
def shallownet(pretrained: bool = False, *, img_size: int = 128, num_classes: int = 1000, **_: Any) -> SmallNet:
    """Three convolutions and two linear layers."""
    return SmallNet(SHALLOW, img_size=img_size, hidden=512, num_classes=num_classes)
