"""Teaches the heat-map head to find faces on a frozen backbone's maps, with CenterNet's losses (Zhou et al. 2019)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

from booru_ml.errors import InvalidInput
from booru_ml.nn.faces import Detection, intersection_over_union, read_heatmaps
from booru_ml.nn.heads import Heatmap
from booru_ml.progress import progress
from booru_ml.types import Box

CHANNELS = ("centre", "width", "height")
PRIOR = -4.0
"""Logit of a face's centre in a cell nothing is known of: they are rare, and the first steps must not shout."""


@dataclass(frozen=True, eq=False)
class Scenes:
    """Feature maps of N scenes, finest stage first, each N×C×H×W (half precision is enough), and their faces."""

    maps: tuple[Tensor, ...]
    faces: tuple[tuple[Box, ...], ...]

    def __post_init__(self) -> None:
        if not self.maps or any(len(one) != len(self.faces) for one in self.maps) or not self.faces:
            raise InvalidInput("Scenes need as many maps as lists of faces, and at least one.")

    @classmethod
    def of(cls, batches: Iterable[tuple[Tensor, ...]], faces: Iterable[tuple[Box, ...]]) -> Scenes:
        """Out of batches of maps, as ``Frozen.maps`` gives them."""
        columns = [torch.cat([one.half() for one in column]) for column in zip(*batches, strict=True)]
        return cls(tuple(columns), tuple(faces))


@dataclass(frozen=True, slots=True)
class Recipe:
    epochs: int = 16
    batch: int = 32
    rate: float = 3e-3
    weight_decay: float = 1e-4
    size_weight: float = 0.5
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Found:
    """``recall`` and ``precision`` of boxes at an intersection over union of one half, over ``faces`` true ones."""

    faces: int
    recall: float
    precision: float

    @property
    def f1(self) -> float:
        both = self.recall + self.precision
        return 2 * self.recall * self.precision / both if both else 0.0

    def __str__(self) -> str:
        return f"recall {self.recall:.3f}  precision {self.precision:.3f}  ({self.faces:,} faces)"


def targets(faces: Sequence[Sequence[Box]], rows: int, columns: int) -> Tensor:
    """N×4×rows×columns: a Gaussian bump at each face's centre, log width and log height in cells, and 1 where these
    two are known: the centre's cell and those around it that are still well inside the face."""
    out = np.zeros((len(faces), 4, rows, columns), np.float32)
    ys, xs = np.mgrid[0:rows, 0:columns].astype(np.float32)
    for sheet, boxes in zip(out, faces, strict=True):
        for box in sorted(boxes, key=lambda one: -one.width * one.height):
            width, height = max(box.width * columns, 0.3), max(box.height * rows, 0.3)
            x, y = (box.x + box.width / 2) * columns - 0.5, (box.y + box.height / 2) * rows - 0.5
            bump = np.exp(-(((xs - x) / (width / 6 + 0.3)) ** 2 + ((ys - y) / (height / 6 + 0.3)) ** 2) / 2)
            row, column = (int(np.clip(round(at), 0, most - 1)) for at, most in ((y, rows), (x, columns)))
            bump[row, column] = 1.0
            sheet[0] = np.maximum(sheet[0], bump)
            near = (bump > 0.6) & (bump >= sheet[0])
            sheet[1][near], sheet[2][near], sheet[3][near] = np.log(width), np.log(height), 1.0
    return torch.from_numpy(out)


def loss(planes: Tensor, wanted: Tensor, *, size_weight: float) -> Tensor:
    """Focal loss of the centres (by the number of faces) and mean error of the logarithmic sizes where known."""
    logits, bump = planes[:, 0], wanted[:, 0]
    chance = logits.sigmoid()
    peak = (bump == 1).float()
    hit = peak * (1 - chance).square() * functional.logsigmoid(logits)
    miss = (1 - peak) * (1 - bump) ** 4 * chance.square() * functional.logsigmoid(-logits)
    known = wanted[:, 3:4]
    size = (known * (planes[:, 1:] - wanted[:, 1:3]).abs()).sum() / known.sum().clamp(min=1)
    return -(hit + miss).sum() / peak.sum().clamp(min=1) + size_weight * size


def fit(head: Heatmap, scenes: Scenes, *, recipe: Recipe) -> Heatmap:
    """Trains ``head`` in place on the scenes and their mirror images."""
    torch.manual_seed(recipe.seed)
    random = np.random.default_rng(recipe.seed)
    rows, columns = scenes.maps[0].shape[2:]
    wanted = targets(scenes.faces, int(rows), int(columns))
    with torch.no_grad():
        bias: Any = head.layers[-1].bias
        bias[0] = PRIOR
    optimiser = torch.optim.AdamW(head.parameters(), lr=recipe.rate, weight_decay=recipe.weight_decay)
    steps = max(1, len(wanted) // recipe.batch)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, recipe.rate, total_steps=steps * recipe.epochs)
    head.train()
    for epoch in range(recipe.epochs):
        order = random.permutation(len(wanted))
        with progress(f"epoch {epoch + 1}/{recipe.epochs}", total=steps) as advance:
            for step in range(steps):
                chosen = torch.from_numpy(order[step * recipe.batch : (step + 1) * recipe.batch])
                maps, goal = [one[chosen].float() for one in scenes.maps], wanted[chosen]
                if random.random() < 0.5:
                    maps, goal = [one.flip(3) for one in maps], goal.flip(3)
                value = loss(head.planes(maps), goal, size_weight=recipe.size_weight)
                if not torch.isfinite(value):
                    raise FloatingPointError("the loss is no longer a number; lower the rate")
                optimiser.zero_grad()
                value.backward()  # type: ignore[no-untyped-call]
                torch.nn.utils.clip_grad_norm_(head.parameters(), 5.0)
                optimiser.step()
                schedule.step()
                advance()
    return head.eval()


@torch.inference_mode()
def detect(head: Heatmap, scenes: Scenes, *, threshold: float, batch: int = 64) -> list[list[Detection]]:
    """What the head finds in each scene."""
    found: list[list[Detection]] = []
    for start in range(0, len(scenes.faces), batch):
        part = [one[start : start + batch].float() for one in scenes.maps]
        found += read_heatmaps(head.planes(part).numpy(), threshold=threshold)
    return found


def measure(found: Sequence[Sequence[Detection]], faces: Sequence[Sequence[Box]], *, least: float = 0.5) -> Found:
    """Surest first, each true face may be found once."""
    hits = boxes = 0
    for one, true in zip(found, faces, strict=True):
        left = list(true)
        for box, _ in sorted(one, key=lambda item: -item[1]):
            best = max(left, key=lambda face: intersection_over_union(box, face), default=None)
            if best is not None and intersection_over_union(box, best) >= least:
                left.remove(best)
                hits += 1
        boxes += len(one)
    known = sum(len(true) for true in faces)
    return Found(known, hits / known if known else 0.0, hits / boxes if boxes else 0.0)


def best_threshold(
    found: Sequence[Sequence[Detection]],
    faces: Sequence[Sequence[Box]],
    choices: npt.ArrayLike = (0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5),
) -> float:
    """The least score with the best F1, of detections read at the lowest choice."""

    def quality(limit: float) -> float:
        return measure([[item for item in one if item[1] >= limit] for one in found], faces).f1

    return max((float(limit) for limit in np.asarray(choices)), key=quality)
