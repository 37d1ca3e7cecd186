"""Teaches a backbone to tell drawn characters apart (metric learning), so that unseen ones can be told apart too.

A margin softmax over many characters (CosFace, Wang et al. 2018) pulls a character's pictures together and others
away; at use the class weights are thrown away and the pooled features alone are the embedding.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional
from torchvision.transforms import v2

from booru_ml.checkpoint import files
from booru_ml.errors import InvalidInput
from booru_ml.nn import network
from booru_ml.nn.backbones import Backbone
from booru_ml.nn.faces import FaceSettings
from booru_ml.nn.writing import Draft, write
from booru_ml.progress import progress
from booru_ml.training.features import meant
from booru_ml.training.manifest import Sample

if TYPE_CHECKING:
    from booru_ml.checkpoint import Checkpoint

CACHE_SIDE = 1.43
"""Sides of cached pictures, as a multiple of the side that is trained on: crops shall not be enlarged much."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """How to train. ``size`` is in pixels; ``scale`` and ``margin`` are CosFace's s and m.

    ``frozen`` names modules of the backbone that stay as they are: early layers know edges and colours already, and
    they cost more than half of a step.
    """

    size: int = 112
    epochs: int = 8
    batch: int = 48
    backbone_rate: float = 4e-4
    head_rate: float = 4e-3
    weight_decay: float = 5e-4
    scale: float = 20.0
    margin: float = 0.25
    ema: float = 0.996
    seed: int = 0
    frozen: tuple[str, ...] = ()


class CosineMargin(nn.Module):
    """Class weights on the unit sphere; ``forward`` gives s·(cos θ − m·[own class]) for (B, D) features."""

    def __init__(self, features: int, classes: int, recipe: Recipe) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(classes, features) * 0.01)
        self.scale, self.margin = recipe.scale, recipe.margin

    def forward(self, features: Tensor, target: Tensor) -> Tensor:
        cosine = functional.normalize(features) @ functional.normalize(self.weight).T
        own = functional.one_hot(target, cosine.shape[1]).to(cosine.dtype)
        return self.scale * (cosine - self.margin * own)


class Cache(torch.utils.data.Dataset[tuple[Tensor, int]]):
    """All pictures in memory as uint8 squares of ``side`` pixels, augmented when taken."""

    def __init__(self, samples: Sequence[Sample], side: int, augment: Callable[[Tensor], Tensor]) -> None:
        self.classes = sorted({sample.label for sample in samples})
        index = {name: number for number, name in enumerate(self.classes)}
        self.targets = np.array([index[sample.label] for sample in samples])
        self.pixels = torch.empty((len(samples), 3, side, side), dtype=torch.uint8)
        for number, frame in enumerate(meant(samples, "Reading pictures", FaceSettings().margin)):
            square = Image.fromarray(frame).resize((side, side), Image.Resampling.BICUBIC)
            self.pixels[number] = torch.from_numpy(np.array(square)).permute(2, 0, 1)
        self.augment = augment

    def __len__(self) -> int:
        return len(self.targets)

    def __getitem__(self, number: int) -> tuple[Tensor, int]:
        return self.augment(self.pixels[number]), int(self.targets[number])

    def weights(self) -> Tensor:
        """Sampling weights: between every picture alike and every class alike (1/√n of its class)."""
        sizes = np.bincount(self.targets)
        return torch.from_numpy(1.0 / np.sqrt(sizes[self.targets]))


def augmentation(size: int, mean: Sequence[float], std: Sequence[float]) -> Callable[[Tensor], Tensor]:
    """Crops, flips, turns, mild colour changes (hair and eyes carry identity), grey, blur, erasing."""
    chain: Callable[[Tensor], Tensor] = v2.Compose(
        [
            v2.RandomResizedCrop(size, scale=(0.35, 1.0), ratio=(0.7, 1.4), antialias=True),
            v2.RandomHorizontalFlip(),
            v2.RandomApply([v2.RandomRotation(15, fill=255)], p=0.25),
            v2.RandomApply([v2.ColorJitter(0.25, 0.25, 0.25, 0.015)], p=0.6),
            v2.RandomGrayscale(0.05),
            v2.RandomApply([v2.GaussianBlur(3)], p=0.1),
            v2.ToDtype(torch.float32, scale=True),
            v2.Normalize(list(mean), list(std)),
            v2.RandomErasing(p=0.25, scale=(0.02, 0.15), value=0),
        ]
    )
    return chain


def fit(
    backbone: nn.Module,
    samples: Sequence[Sample],
    *,
    recipe: Recipe,
    mean: Sequence[float],
    std: Sequence[float],
    device: str = "cpu",
    after_epoch: Callable[[int, nn.Module], None] | None = None,
) -> nn.Module:
    """Fine-tunes ``backbone`` (maps (B, 3, H, W) to (B, D)) and returns its moving average, ready for use.

    ``after_epoch`` is called with the epoch and the average so far. Deterministic by ``recipe.seed`` on one device.
    Raises ``InvalidInput`` for senseless numbers, fewer than two classes, fewer pictures than a batch, or unknown
    frozen modules.
    """
    if recipe.size < 32 or recipe.epochs < 1 or recipe.batch < 2:
        raise InvalidInput("Teaching takes a size of 32 pixels or more, an epoch or more, and batches of two or more.")
    if len({sample.label for sample in samples}) < 2 or len(samples) < recipe.batch:
        raise InvalidInput(f"Teaching needs two classes or more, and pictures for a batch at least ({recipe.batch}).")
    if unknown := set(recipe.frozen) - {name for name, _ in backbone.named_modules()}:
        raise InvalidInput(f"The backbone has no module {', '.join(sorted(unknown))} to be frozen.")
    torch.manual_seed(recipe.seed)
    data = Cache(samples, round(CACHE_SIDE * recipe.size), augmentation(recipe.size, mean, std))
    steps = len(data) // recipe.batch
    chooser = torch.utils.data.WeightedRandomSampler(data.weights().tolist(), steps * recipe.batch)
    loader = torch.utils.data.DataLoader(data, recipe.batch, sampler=chooser, drop_last=True)
    backbone.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    _learn(backbone, recipe.frozen)
    with torch.no_grad():
        width = backbone(torch.zeros(2, 3, recipe.size, recipe.size, device=device)).shape[1]
    head = CosineMargin(width, len(data.classes), recipe).to(device)
    average = torch.optim.swa_utils.AveragedModel(
        backbone,
        multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(recipe.ema),  # type: ignore[no-untyped-call]
        use_buffers=True,
    )
    optimiser = torch.optim.AdamW(
        [
            {"params": [p for p in backbone.parameters() if p.requires_grad], "lr": recipe.backbone_rate},
            {"params": head.parameters(), "lr": recipe.head_rate},
        ],
        weight_decay=recipe.weight_decay,
    )
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, _warm_cosine(steps * recipe.epochs, warm=steps // 2))
    for epoch in range(recipe.epochs):
        _learn(backbone, recipe.frozen)
        total = 0.0
        with progress(f"epoch {epoch + 1}/{recipe.epochs}", total=steps) as advance:
            for pixels, target in loader:
                loss = _step(backbone, head, optimiser, pixels.to(device), target.to(device))
                schedule.step()
                average.update_parameters(backbone)
                total += loss
                advance()
        if after_epoch is not None:
            after_epoch(epoch, average.module)
    return average.module


def teach(base: Checkpoint, samples: Sequence[Sample], *, out: Path, recipe: Recipe, device: str = "cpu") -> Checkpoint:
    """Fine-tunes the backbone of ``base`` and writes the checkpoint ``out`` with it.

    Its only head is the plain embedding: every other head was fitted to the old features and has to be fitted anew.
    """
    model: Any = network.load(base).backbone.model.requires_grad_(True)
    model.reset_classifier(0)
    look = base.preprocess
    taught = fit(model, samples, recipe=recipe, mean=look.mean, std=look.std, device=device)
    config = json.loads((base.path / files.CONFIG).read_text(encoding="utf-8"))
    config["num_classes"] = 0
    config["booru"] |= {
        "name": out.name,
        "heads": {"embedding": {"kind": "embedding", "dim": Backbone(model).width}},
        "faces": {"detector": "animeface"},
    }
    weights = {key: tensor.cpu() for key, tensor in taught.state_dict().items()}
    return write(out, Draft(config, weights, card=f"# {out.name}\n\nFine-tuned from {base.version}.\n"))


def _learn(backbone: nn.Module, frozen: Sequence[str]) -> None:
    """Training mode, but for what is frozen: neither its weights nor its normalisation move."""
    backbone.train()
    for name in frozen:
        backbone.get_submodule(name).eval().requires_grad_(False)


def _step(backbone: nn.Module, head: nn.Module, optimiser: Any, pixels: Tensor, target: Tensor) -> float:
    logits = head(backbone(pixels.contiguous(memory_format=torch.channels_last)), target)
    loss = functional.cross_entropy(logits, target, label_smoothing=0.05)
    if not torch.isfinite(loss):
        raise FloatingPointError("the loss is no longer a number; lower the learning rates")
    optimiser.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]
    nn.utils.clip_grad_norm_(backbone.parameters(), 5.0)
    optimiser.step()
    return float(loss.detach())


def _warm_cosine(steps: int, *, warm: int) -> Callable[[int], float]:
    """Linear warm-up, then half a cosine down to a hundredth."""

    def rate(step: int) -> float:
        if step < warm:
            return (step + 1) / warm
        return 0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * (step - warm) / max(1, steps - warm)))

    return rate
