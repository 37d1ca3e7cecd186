"""From folders to what a network is taught with: samples sorted out and split, labels, pictures on their way."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from booru_ml.checkpoint.faces import FaceSettings
from booru_ml.checkpoint.heads import Label
from booru_ml.errors import InvalidInput
from booru_ml.evaluation.answers import Answers
from booru_ml.progress import track
from booru_ml.training import manifest
from booru_ml.training.audit import Audit, audit
from booru_ml.training.manifest import Sample
from booru_ml.training.objectives import Learner
from booru_ml.training.pictures import Item, Pictures, tiles
from booru_ml.training.settings import Settings
from booru_ml.training.splits import NAMES
from booru_ml.training.tasks import RATINGS, Marks, Targets, Task, judged, known, rated, settled, table
from booru_ml.types import FloatArray

if TYPE_CHECKING:
    from booru_ml.checkpoint import Preprocess


@dataclass(frozen=True)
class Folders:
    """Where the pictures are. ``faces``: folders of whose pictures the first face counts, by the manifest."""

    data: Sequence[Path]
    faces: Sequence[Path] = ()

    def samples(self, task: Task, settings: Settings) -> Audit:
        """Sorted out, split, cut into tiles where the settings say so. Raises ``InvalidInput``."""
        if not self.data:
            raise InvalidInput("Name at least one folder of pictures after --data.")
        found = [
            sample
            for folder in self.data
            for sample in manifest.read(folder, label=task.column, group=_apart(folder, task), several=task.several)
        ]
        if task.grades == RATINGS:
            found = [replace(sample, label=rated(sample.label)) for sample in found]
        if settings.tile:
            found = tiles(found, settings.tile)
        return audit(found, least=settings.least, shares=settings.shares, seed=settings.seed)

    def identities(self, column: str, settings: Settings) -> Audit:
        """Of whole pictures and faces, all of them to be taught; a class of one folder is not that of another.

        Rows of other splits than train are left out. Raises ``InvalidInput``.
        """
        found = []
        names = manifest.called((*self.data, *self.faces))
        for faces, folders in ((False, self.data), (True, self.faces)):
            for folder in folders:
                read = manifest.read(folder, label=column, split="train", faces=faces)
                found += [replace(sample, label=f"{names[folder]}/{sample.label}", split="train") for sample in read]
        if not found:
            raise InvalidInput("Name at least one folder after --data or --faces.")
        return audit(found, least=settings.least, seed=settings.seed)


def _apart(folder: Path, task: Task) -> str:
    """The column of what must not stand on both sides: an artist's characters, or their colours give the hand away."""
    return "character" if task.name == "artist" and "character" in manifest.columns(folder) else "group"


class Seen(Dataset[tuple[Tensor, Tensor]]):
    """What a backbone that learns nothing sees in pictures that do not vary: looked at once instead of every epoch."""

    def __init__(self, pictures: Pictures, learner: Learner, device: Any) -> None:
        count = len(pictures)
        items = [[(number, 0) for number in range(at, min(at + 16, count))] for at in range(0, count, 16)]
        rows, targets = [], []
        with torch.inference_mode():
            for pixels, target in track(DataLoader(pictures, batch_sampler=items), "Looking once", total=len(items)):
                rows.append(learner.features(pixels.to(device)).cpu())
                targets.append(target)
        self.rows, self.targets = torch.cat(rows).clone(), torch.cat(targets)

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, item: Item) -> tuple[Tensor, Tensor]:
        return self.rows[item[0]], self.targets[item[0]]


@dataclass(frozen=True)
class Material:
    """``samples``, ``sets``, ``targets`` and what is ``known`` of tags, by split; a split without pictures is not among
    them. ``taught``: train pictures of each label."""

    task: Task
    labels: tuple[Label, ...]
    samples: Mapping[str, Sequence[Sample]]
    sets: Mapping[str, Dataset[Any]]
    targets: Mapping[str, Targets]
    known: Mapping[str, Marks | None]
    taught: npt.NDArray[np.int64]

    def answers(self, part: str, said: FloatArray) -> Answers:
        """What was ``said`` of the pictures of a split, N × labels, beside the truth."""
        samples, targets = self.samples[part], self.targets[part]
        marks = table(targets, len(self.labels)).astype(np.int64)
        return Answers(
            classes=tuple(label.name for label in self.labels),
            paths=tuple(sample.path for sample in samples),
            groups=np.array([sample.group for sample in samples], np.str_),
            truth=marks if self.task.several else marks.argmax(axis=1),
            chances=settled(said, self.known[part]).astype(np.float64),
        )


def material(samples: Sequence[Sample], task: Task, look: Preprocess, settings: Settings) -> Material:
    """Train pictures vary, the others are seen as the finished checkpoint sees them. Raises ``InvalidInput``."""
    labels = task.labels(samples)
    sets: dict[str, Dataset[Any]] = {}
    targets: dict[str, Targets] = {}
    decided: dict[str, Marks | None] = {}
    parts: dict[str, Sequence[Sample]] = {}
    taught = [sample for sample in samples if sample.split == "train"]
    rejected = judged(taught)
    for name in NAMES:
        if some := [sample for sample in samples if sample.split == name]:
            targets[name] = task.targets(some, labels)
            parts[name] = some
            decided[name] = known(some, [label.name for label in labels], rejected) if task.several else None
            sets[name] = Pictures(
                some,
                targets[name],
                replace(look, width=settings.size, height=settings.size) if name == "train" else look,
                augment=settings.augment if name == "train" else "none",
                margin=1.0,
                classes=len(labels) if task.several else 0,
                known=decided[name],
            )
    shown = {(one.path, place) for one, places in zip(taught, targets["train"], strict=True) for place in places}
    counts = np.bincount([place for _, place in shown], minlength=len(labels))
    return Material(task, labels, parts, sets, targets, decided, counts)


def identities(
    samples: Sequence[Sample], look: Preprocess, settings: Settings, *, pairs: bool = False
) -> tuple[Pictures, Targets]:
    """What an encoder is taught with; its classes are forgotten afterwards. ``pairs``: as ``Pictures`` has it."""
    place = {name: number for number, name in enumerate(sorted({sample.label for sample in samples}))}
    targets: Targets = [(place[sample.label],) for sample in samples]
    sized = replace(look, width=settings.size, height=settings.size)
    margin = FaceSettings().margin
    return Pictures(samples, targets, sized, augment=settings.augment, margin=margin, pairs=pairs), targets


def seen(given: Material, learner: Learner, device: Any) -> Material:
    """The material as a backbone sees it that learns nothing."""
    learner.to(device).eval()
    sets = {
        name: Seen(pictures, learner, device) for name, pictures in given.sets.items() if isinstance(pictures, Pictures)
    }
    return replace(given, sets=sets)
