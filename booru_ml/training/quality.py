"""How finished a drawing is: an ordinal head on graded drawings, tested on artists and characters it never saw."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from booru_ml.errors import InvalidInput
from booru_ml.training import manifest, views
from booru_ml.training.features import Frozen, read
from booru_ml.training.ordinal import Agreement, Grades, Ordinal, agreement, fit
from booru_ml.types import Category, FloatArray, PixelArray

if TYPE_CHECKING:
    from booru_ml.checkpoint import Checkpoint

GRADES = ("finished", "sketch", "rough", "poor")
"""Best first."""
VARIED = 2
"""Varied looks at each drawing."""
FOLDS = 6
"""Parts that artists and characters are dealt to; a picture is tested on where both are of the same part."""

Index = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Graded:
    """A drawing with its grade (place in ``GRADES``), who drew it and whom it shows."""

    path: Path
    grade: int
    artist: str
    character: str


@dataclass(frozen=True, eq=False)
class Looks:
    """What the frozen network sees, N × D each: in the drawings, and in each of the varied looks at them.

    ``fixed``: in the ``tested`` ones, changed in ways that should not matter.
    """

    drawings: tuple[Graded, ...]
    whole: FloatArray
    varied: tuple[FloatArray, ...]
    tested: Index
    fixed: Mapping[str, FloatArray]

    @property
    def grades(self) -> Grades:
        return np.array([drawing.grade for drawing in self.drawings])


@dataclass(frozen=True, slots=True)
class Result:
    """``held_out``: by look, how grades agree for artists and characters that the head was not fitted on; ``steady``:
    share of pictures whose grade a look leaves as it is; ``finished``: share of each artist's finished ones so called.
    """

    held_out: Mapping[str, Agreement]
    steady: Mapping[str, float]
    finished: Mapping[str, float]


def drawings(folder: Path) -> list[Graded]:
    """By the columns ``finish``, ``artist`` and ``character`` of the folder's manifest. Raises ``InvalidInput``."""
    found = []
    for path, row, where in manifest.rows(folder, "finish", "artist", "character"):
        if row["finish"] not in GRADES:
            raise InvalidInput(f"{where}: finish must be one of {', '.join(GRADES)}, not {row['finish'][:40]!r}.")
        found.append(Graded(path, GRADES.index(row["finish"]), row["artist"], row["character"]))
    return found


def finished(folder: Path, *, most: int) -> list[Graded]:
    """Drawings of a folder where all are finished; the folder counts as their artist."""
    samples = manifest.evenly(manifest.read(folder, label="character", split="train"), most)
    return [Graded(sample.path, 0, folder.name, sample.label) for sample in samples]


def look(checkpoint: Checkpoint, found: Sequence[Graded], *, inputs: Sequence[str], seed: int = 0) -> Looks:
    """Looks at every drawing as it is and varied, at those to test on in the fixed ways, too."""
    frozen = Frozen(checkpoint)
    tested = np.flatnonzero(_fold(found, "artist") == _fold(found, "character"))

    def frames(chosen: Sequence[Graded], what: str) -> Iterator[PixelArray]:
        return read([drawing.path for drawing in chosen], what)

    random = np.random.default_rng(seed)
    some = [found[number] for number in tested.tolist()]
    return Looks(
        tuple(found),
        frozen.inputs(frames(found, "as they are"), inputs),
        tuple(
            frozen.inputs((views.varied(frame, random) for frame in frames(found, f"varied, {number + 1}")), inputs)
            for number in range(VARIED)
        ),
        tested,
        {name: frozen.inputs(map(change, frames(some, name)), inputs) for name, change in views.FIXED.items()},
    )


def train(looks: Looks, chosen: npt.NDArray[np.bool_] | None = None, *, ridge: float) -> Ordinal:
    """The head fitted on the chosen drawings, as they are and varied."""
    mask = np.ones(len(looks.drawings), bool) if chosen is None else chosen
    rows = np.concatenate([rows[mask] for rows in (looks.whole, *looks.varied)])
    return fit(rows, np.tile(looks.grades[mask], 1 + len(looks.varied)), count=len(GRADES), ridge=ridge)


def cross_validate(looks: Looks, *, ridge: float) -> Result:
    """Each part is graded by a head that saw neither its artists nor its characters. Raises ``InvalidInput``."""
    if not len(looks.tested):
        raise InvalidInput("Too few artists and characters to test on pictures of others than those fitted on.")
    truth = looks.grades
    said = {"as they are": np.full(len(truth), -1), "varied": np.full(len(truth), -1)}
    said |= {name: np.full(len(truth), -1) for name in looks.fixed}
    for fold in range(FOLDS):
        artist, character = (_fold(looks.drawings, what) == fold for what in ("artist", "character"))
        tested = np.flatnonzero(artist & character)
        if not len(tested):
            continue
        head = train(looks, ~artist & ~character, ridge=ridge)
        for name, rows in (("as they are", looks.whole), ("varied", looks.varied[0])):
            said[name][tested] = head.probabilities(rows[tested]).argmax(axis=1)
        places = np.searchsorted(looks.tested, tested)
        for name, rows in looks.fixed.items():
            said[name][tested] = head.probabilities(rows[places]).argmax(axis=1)
    held_out, steady = {}, {}
    for name, grades in said.items():
        held_out[name] = agreement(truth[looks.tested], grades[looks.tested], count=len(GRADES))
        if name in looks.fixed:
            steady[name] = float((grades == said["as they are"])[looks.tested].mean())
    return Result(held_out, steady, _finished(looks, said["as they are"]))


def head(name: str, found: Ordinal, inputs: Sequence[str]) -> tuple[dict[str, Any], dict[str, Tensor], list[Any]]:
    """What ``booru.heads`` says of it, its tensors and its labels."""
    said = {"kind": "ordinal", "inputs": list(inputs)}
    tensors = {
        f"{name}.layers.0.weight": torch.from_numpy(found.weight[None].copy()),
        f"{name}.layers.0.bias": torch.tensor([found.bias], dtype=torch.float32),
        f"{name}.thresholds": torch.from_numpy(found.thresholds.copy()),
    }
    return said, tensors, [(name, grade, Category.QUALITY.value) for grade in GRADES]


def _finished(looks: Looks, said: Grades) -> dict[str, float]:
    artists = np.array([drawing.artist for drawing in looks.drawings])
    asked = (said >= 0) & (looks.grades == 0)
    return {str(name): float((said[asked & (artists == name)] == 0).mean()) for name in np.unique(artists[asked])}


def _fold(drawings: Sequence[Graded], what: str) -> Index:
    names = [getattr(drawing, what) for drawing in drawings]
    place = {name: number % FOLDS for number, name in enumerate(sorted(set(names)))}
    return np.array([place[name] for name in names])
