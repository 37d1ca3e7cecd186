"""Pictures on their way to a network: read, fitted, varied, and dealt out in an order that only the seed decides."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torchvision.transforms import v2

from booru_ml.errors import InvalidInput
from booru_ml.nn.survey import read_picture
from booru_ml.nn.transforms import crop_square, fit
from booru_ml.progress import track
from booru_ml.training.colourless import lines
from booru_ml.training.manifest import Sample
from booru_ml.training.settings import Settings
from booru_ml.training.tasks import Marks, Targets
from booru_ml.types import Box, PixelArray

if TYPE_CHECKING:
    from booru_ml.checkpoint import Preprocess

CACHE_BYTES = 2**31
"""Sets whose fitted pictures fit in here are read once."""
ENLARGED = {"strong": 1.43, "sketch": 1.43, "light": 1.25, "crop": 1.25, "aniwho": 1.0, "none": 1.0}
"""Side of fitted pictures, as a multiple of the side that is trained on: crops shall not be enlarged much."""

ORIENTATION = 0x0112
"""EXIF's tag; from 5 on the picture lies on its side."""

UNKNOWN = -1.0
"""The target of a tag that nobody decided about."""

Item = tuple[int, int]
"""A picture's place in the set, and the seed of its variation."""


def augmentation(
    name: str, size: int, mean: Sequence[float], std: Sequence[float], *, pairs: bool = False
) -> Callable[[Tensor], Tensor]:
    """From a uint8 square to the network's input (3, ``size``, ``size``). ``strong`` varies crop, turn, colour (mildly:
    hair and eyes carry identity), grey, blur, and erases; ``sketch`` also takes the colour off every third picture, and
    of half of these leaves the lines alone; ``crop`` and ``aniwho`` are their papers'.

    ``pairs``: (2, 3, ``size``, ``size``), the part of the picture that was chosen as it is, and varied.
    """
    strong_places = [
        v2.RandomResizedCrop(size, scale=(0.35, 1.0), ratio=(0.7, 1.4), antialias=True),
        v2.RandomHorizontalFlip(),
        v2.RandomApply([v2.RandomRotation(15, fill=255)], p=0.25),
    ]
    strong_colours = [
        v2.RandomApply([v2.ColorJitter(0.25, 0.25, 0.25, 0.015)], p=0.6),
        v2.RandomGrayscale(0.05),
        v2.RandomApply([v2.GaussianBlur(3)], p=0.1),
    ]
    places: dict[str, list[v2.Transform]] = {
        "strong": strong_places,
        "sketch": strong_places,
        "light": [v2.RandomResizedCrop(size, scale=(0.6, 1.0), antialias=True), v2.RandomHorizontalFlip()],
        "crop": [v2.RandomCrop(size), v2.RandomHorizontalFlip()],
        # Keras: 0.4 of a whole turn, a fifth of the side, a fifth nearer or farther, a fifth of contrast.
        "aniwho": [
            v2.RandomAffine(144, translate=(0.2, 0.2), scale=(0.8, 1.2), interpolation=v2.InterpolationMode.BILINEAR),
            v2.RandomHorizontalFlip(),
            v2.RandomVerticalFlip(),
        ],
        "none": [v2.Identity()],
    }
    colours: dict[str, list[v2.Transform]] = {
        "strong": strong_colours,
        "sketch": [*strong_colours, v2.RandomGrayscale(0.15), v2.RandomApply([v2.Lambda(lines)], p=0.17)],
        "aniwho": [v2.ColorJitter(contrast=0.2)],
    }
    erase = [v2.RandomErasing(p=0.25, scale=(0.02, 0.15), value=0)] if name in ("strong", "sketch") else []
    place = v2.Compose(places[name])
    last = v2.Compose([v2.ToDtype(torch.float32, scale=True), v2.Normalize(list(mean), list(std))])
    vary: Callable[[Tensor], Tensor] = v2.Compose([*colours.get(name, ()), last, *erase])

    def both(pixels: Tensor) -> Tensor:
        part = place(pixels)
        return torch.stack([last(part), vary(part)])

    return both if pairs else lambda pixels: vary(place(pixels))


class Pictures(torch.utils.data.Dataset[tuple[Tensor, Tensor]]):
    """Samples as a network sees them, with their targets; kept in memory where they fit."""

    def __init__(
        self,
        samples: Sequence[Sample],
        targets: Targets,
        look: Preprocess,
        *,
        augment: str = "none",
        margin: float = 1.0,
        classes: int = 0,
        known: Marks | None = None,
        pairs: bool = False,
    ) -> None:
        """``margin``: side of the square about a sample's box, as a multiple of it. ``classes``: how many tags there
        are, where targets are tags; ``known``: what is known of them (pictures × tags, None: all). ``pairs``: each
        comes as it is and varied."""
        side = round(ENLARGED[augment] * look.width)
        self.samples, self.targets, self.margin, self.classes = samples, targets, margin, classes
        self.known = known
        self.look = replace(look, width=side, height=side)
        self.augment = augmentation(augment, look.width, look.mean, look.std, pairs=pairs)
        self.cache: Tensor | None = None
        if len(samples) * side * side * 3 <= CACHE_BYTES:
            cache = torch.empty((len(samples), 3, side, side), dtype=torch.uint8)
            for number in track(range(len(samples)), "Reading pictures"):
                cache[number] = self._read(number)
            self.cache = cache

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, item: Item) -> tuple[Tensor, Tensor]:
        number, seed = item
        pixels = self._read(number) if self.cache is None else self.cache[number]
        # However many processes read, and wherever a run was cut off: a picture's variation is its seed's alone.
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)  # the CPU's alone: dropout draws from a GPU's
            varied = self.augment(pixels)
        return varied, self._target(number)

    def _target(self, number: int) -> Tensor:
        if not self.classes:
            return torch.tensor(self.targets[number][0])
        found = torch.zeros(self.classes)
        found[list(self.targets[number])] = 1.0
        if self.known is not None:
            found[~torch.from_numpy(self.known[number])] = UNKNOWN
        return found

    def _read(self, number: int) -> Tensor:
        sample = self.samples[number]
        frame = _frame(sample.path)
        frame = frame if sample.box is None else crop_square(frame, sample.box, self.margin)
        return torch.from_numpy(np.array(fit(frame, self.look))).permute(2, 0, 1)


@lru_cache(maxsize=2)
def _frame(path: Path) -> PixelArray:
    """Tiles of one picture stand beside each other, so it is decoded once."""
    try:
        return read_picture(path)
    except OSError as error:
        raise InvalidInput(f"{path} cannot be read as a picture: {error}") from error


@dataclass(frozen=True)
class Deal:
    """Which pictures make which batch of which epoch, for one of ``ranks`` processes. Only whole steps are dealt."""

    weights: Tensor | None
    count: int
    settings: Settings
    rank: int = 0
    ranks: int = 1

    @classmethod
    def of(cls, targets: Targets, settings: Settings, *, rank: int = 0, ranks: int = 1) -> Deal:
        """Raises ``InvalidInput`` for fewer pictures than a step."""
        deal = cls(_weights(targets, settings.sampling), len(targets), settings, rank, ranks)
        if not deal.steps:
            raise InvalidInput(
                f"{len(targets)} pictures to teach with, but a step takes {deal._step}; lower --batch or --accumulate."
            )
        return deal

    @property
    def steps(self) -> int:
        """Of an epoch; each takes ``accumulate`` batches in every process."""
        return self.count // self._step

    @property
    def _step(self) -> int:
        return self.settings.batch * self.settings.accumulate * self.ranks

    def batches(self, epoch: int, *, skip: int = 0) -> Iterator[list[Item]]:
        """This process's batches of the epoch after its first ``skip`` steps."""
        random = torch.Generator().manual_seed(self.settings.seed * 1_000_003 + epoch)
        wanted = self.steps * self._step
        if self.weights is None:
            order = torch.randperm(self.count, generator=random)[:wanted]
        else:
            order = torch.multinomial(self.weights, wanted, replacement=True, generator=random)
        seeds = torch.randint(2**62, (wanted,), generator=random)
        items = list(zip(order.tolist(), seeds.tolist(), strict=True))[skip * self._step :]
        size = self.settings.batch
        for start in range(self.rank * size, len(items), size * self.ranks):
            yield items[start : start + size]


def _weights(targets: Targets, sampling: str) -> Tensor | None:
    """Of each picture; with several tags the rarest decides."""
    if sampling == "natural":
        return None
    sizes = np.bincount(np.array([place for places in targets for place in places]))
    rarest = np.array([min((sizes[place] for place in places), default=len(targets)) for places in targets])
    return torch.from_numpy(1.0 / (np.sqrt(rarest) if sampling == "sqrt" else rarest))


def tiles(samples: Sequence[Sample], side: int) -> list[Sample]:
    """Squares of ``side`` pixels of each picture, side by side from its upper left, instead of the picture; a picture
    that is smaller stays whole. Plain ones have to be sorted out afterwards."""
    found: list[Sample] = []
    for sample in samples:
        try:
            with Image.open(sample.path) as image:
                width, height = image.size if image.getexif().get(ORIENTATION, 1) < 5 else image.size[::-1]
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
            width = height = 0
        corners = [(x, y) for y in range(0, height - side + 1, side) for x in range(0, width - side + 1, side)]
        found += [
            replace(sample, box=Box(x / width, y / height, side / width, side / height), group=sample.group)
            for x, y in corners
        ] or [sample]
    return found
