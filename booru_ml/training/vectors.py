"""Fits an embedding or style head on labelled pictures: whitening within classes, its strength chosen across sets."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from booru_ml.checkpoint import heads
from booru_ml.errors import InvalidInput
from booru_ml.evaluation.pictures import keep_pixels
from booru_ml.nn.heads import Vector
from booru_ml.nn.transforms import fit
from booru_ml.training import channels, colourless, manifest
from booru_ml.training.episodes import Accuracy, accuracy
from booru_ml.training.features import Frozen, meant
from booru_ml.training.whitening import Scatter, project
from booru_ml.types import FloatArray, PixelArray

if TYPE_CHECKING:
    from booru_ml.checkpoint import Checkpoint, Head, Preprocess
    from booru_ml.training.manifest import Sample

SHRINKS = (0.1, 0.2, 0.4, 0.6, 0.8)
SETTINGS = ((5, 1), (5, 5), (20, 1), (20, 5))


@dataclass(frozen=True, eq=False)
class LabelledRows:
    """Raw features of one set, with what they are called and where they come from. ``labels`` empty: unknown.

    ``pixels``: the pictures themselves at 16×16, N × 768 less mid-grey: what they do is the floor of any figure, and an
    alarm where it is high, as near copies then stand on both sides of the split.
    """

    name: str
    rows: FloatArray
    labels: tuple[str, ...]
    groups: tuple[str, ...]
    pixels: FloatArray | None = None


@dataclass(frozen=True, slots=True)
class Trial:
    """How vectors fitted on the other sets do on ``tested``: accuracy of (ways, shots) episodes by class mean."""

    tested: str
    shrink: float | None
    accuracies: Mapping[tuple[int, int], Accuracy]
    what: str = ""

    def __str__(self) -> str:
        how = self.what or ("not whitened" if self.shrink is None else f"shrinkage {self.shrink}")
        figures = "  ".join(f"{ways}-way {shots}-shot {value}" for (ways, shots), value in self.accuracies.items())
        return f"{self.tested}, {how}: {figures}"

    @property
    def mean(self) -> float:
        return float(np.mean([found.mean for found in self.accuracies.values()]))


def declare(name: str, said: Mapping[str, Any]) -> Head:
    """The head that an entry of ``booru.heads`` describes. Raises ``InvalidInput``."""

    def fail(message: str) -> None:
        raise InvalidInput(f"{message}.")

    return heads.head(name, said, (), {}, fail)


def untaught(checkpoint: Checkpoint, declared: Head, sets: Mapping[str, Sequence[Sample]]) -> Vector:
    """The head's module before whitening; where it takes correlations, of channels turned by pictures of ``sets``."""
    frozen = Frozen(checkpoint, stages=declared.stages)
    module = Vector(declared, frozen.backbone)
    if module.statistics and module.statistics.correlations:
        samples = manifest.evenly([sample for of in sets.values() for sample in of], channels.ENOUGH)
        frames = meant(samples, "channels", checkpoint.faces.margin)
        channels.turn(module.statistics, declared.stages, frozen.maps(frames, declared.stages))
    return module


def look(
    checkpoint: Checkpoint, sets: Mapping[str, Sequence[Sample]], module: Vector, *, also: Sequence[str] = ()
) -> list[LabelledRows]:
    """The raw features of every set's pictures, or of the parts of them that its samples mean; ``also``: of each by
    these ``colourless.views``, too."""
    frozen = Frozen(checkpoint, stages=module.stages)
    found = []
    for name, samples in sets.items():
        small: list[FloatArray] = []
        frames = _also(meant(samples, name, checkpoint.faces.margin), also, checkpoint.preprocess)
        rows = frozen.rows(keep_pixels(frames, small), module.raw)
        seen = [sample for sample in samples for _ in range(1 + len(also))]
        labels = tuple(sample.label for sample in seen)
        groups = tuple(f"{sample.label}/{sample.group}" for sample in seen)
        found.append(LabelledRows(name, rows, labels, groups, np.stack(small)))
    return found


def _also(frames: Iterator[PixelArray], views: Sequence[str], preprocess: Preprocess) -> Iterator[PixelArray]:
    """Each frame and behind it its views, of the size that the network sees: so a line is as wide on every picture."""
    for number, frame in enumerate(frames):
        yield frame
        if views:
            yield from colourless.views(fit(frame, preprocess), views, seed=number)


def unlabelled(one: LabelledRows) -> LabelledRows:
    """The same rows, whatever they were called."""
    return replace(one, labels=())


def trials(
    sets: Sequence[LabelledRows], *, dim: int, shrinks: Sequence[float] = SHRINKS, seed: int = 0
) -> Iterator[Trial]:
    """Every set in turn is tested with vectors fitted on the others: plain, then at each shrinkage.

    One set alone is cut in two by class.
    """
    parts = sets if len(sets) > 1 else _halves(sets[0])
    for tested in parts:
        fitted = [part for part in parts if part is not tested]
        yield from _plain_trials(tested, seed)
        scatter = _scatter(fitted)
        for shrink in shrinks:
            vectors = project(tested.rows, scatter.mean, scatter.projection(dim=dim, shrink=shrink))
            yield Trial(tested.name, shrink, _accuracies(vectors, tested, seed))


def tests(
    fitted: Sequence[LabelledRows], tested: Sequence[LabelledRows], *, dim: int, shrink: float
) -> Iterator[Trial]:
    """Each of ``tested``, plain and with vectors fitted on ``fitted`` alone."""
    scatter = _scatter(fitted)
    projection = scatter.projection(dim=dim, shrink=shrink)
    for one in tested:
        yield from _plain_trials(one, 0)
        yield Trial(one.name, shrink, _accuracies(project(one.rows, scatter.mean, projection), one, 0))


def _plain_trials(tested: LabelledRows, seed: int) -> Iterator[Trial]:
    if tested.pixels is not None:
        yield Trial(tested.name, None, _accuracies(_plain(tested.pixels), tested, seed), "pixels")
    yield Trial(tested.name, None, _accuracies(_plain(tested.rows), tested, seed))


def best_shrink(found: Sequence[Trial]) -> float:
    """The shrinkage with the best mean over settings and sets."""
    means = {
        shrink: float(np.mean([trial.mean for trial in found if trial.shrink == shrink]))
        for shrink in {trial.shrink for trial in found}
        if shrink is not None
    }
    return max(means, key=lambda shrink: (means[shrink], shrink))


def head(declared: Head, module: Vector, sets: Sequence[LabelledRows], *, shrink: float) -> dict[str, Tensor]:
    """The tensors of the head fitted on all sets."""
    scatter = _scatter(sets)
    tensors = module.state_dict() | {
        "mean": torch.from_numpy(scatter.mean.astype(np.float32)),
        "projection": torch.from_numpy(scatter.projection(dim=declared.dim or 0, shrink=shrink)),
    }
    return {f"{declared.name}.{key}": tensor for key, tensor in tensors.items()}


def _scatter(sets: Sequence[LabelledRows]) -> Scatter:
    """Within the classes of all sets; where one of them has none, of all pictures together."""
    rows = np.concatenate([one.rows for one in sets])
    if not all(one.labels for one in sets):
        return Scatter.of(rows)
    return Scatter.of(rows, [f"{one.name}/{label}" for one in sets for label in one.labels])


def _plain(rows: FloatArray) -> FloatArray:
    return np.asarray(rows / (np.linalg.norm(rows, axis=1, keepdims=True) + 1e-12), np.float32)


def _accuracies(vectors: FloatArray, tested: LabelledRows, seed: int) -> dict[tuple[int, int], Accuracy]:
    found = {
        (ways, shots): accuracy(vectors, tested.labels, tested.groups, ways=ways, shots=shots, seed=seed)
        for ways, shots in SETTINGS
    }
    kept = {setting: value for setting, value in found.items() if value is not None}
    if not kept:
        raise InvalidInput(f"{tested.name} has too few classes to test on: 5 with two pictures of two groups each.")
    return kept


def _halves(one: LabelledRows) -> list[LabelledRows]:
    classes = sorted(set(one.labels))
    halves = []
    for name, chosen in (("even classes", set(classes[::2])), ("odd classes", set(classes[1::2]))):
        rows = [row for row, label in enumerate(one.labels) if label in chosen]
        if not rows:
            raise InvalidInput(f"{one.name} has one class only; nothing can be tested.")
        halves.append(
            LabelledRows(
                f"{one.name}, {name}",
                one.rows[rows],
                tuple(one.labels[row] for row in rows),
                tuple(one.groups[row] for row in rows),
                None if one.pixels is None else one.pixels[rows],
            )
        )
    return halves
