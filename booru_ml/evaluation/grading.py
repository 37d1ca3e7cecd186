"""Ordinal heads on frozen features, cross-validated, on drawings as they are and looked at otherwise."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from booru_ml.evaluation import folds as cutting
from booru_ml.evaluation.answers import Answers, Index
from booru_ml.evaluation.calibration import TINY
from booru_ml.evaluation.pictures import Change, keep_pixels
from booru_ml.progress import track
from booru_ml.types import FloatArray, PixelArray

if TYPE_CHECKING:
    from booru_ml.checkpoint import Checkpoint
    from booru_ml.evaluation.task import Options
    from booru_ml.training.ordinal import Ordinal

RIDGES = (1e-3, 1e-2, 1e-1, 1.0)
USUAL = 1e-1
INNER = 3
"""Folds within the fitted rows; on one of them the strength of the ridge is chosen."""


def _middle(frame: PixelArray) -> PixelArray:
    height, width = frame.shape[:2]
    return frame[height // 10 : height - height // 10, width // 10 : width - width // 10]


def _half(frame: PixelArray) -> PixelArray:
    image = Image.fromarray(frame)
    return np.asarray(image.resize((max(1, image.width // 2), max(1, image.height // 2)), Image.Resampling.BOX))


LOOKS: Mapping[str, Change] = {"middle 80 %": _middle, "half size": _half}
"""Looks at which a grade should stay what it is."""


@dataclass(frozen=True, slots=True, eq=False)
class Graded:
    """Answers to the pictures as they are, and to each look at them; the ``folds`` that these were found by."""

    whole: Answers
    looks: Mapping[str, Answers]
    folds: Sequence[cutting.Fold] = ()


def cross_validated(
    checkpoint: Checkpoint, options: Options, blank: Answers, frames: Callable[[], Iterable[PixelArray]]
) -> Graded:
    """Answers of ordinal heads on frozen features, each fitted on other groups: on pictures as they are and looked at
    otherwise, so that framing and size are no evidence."""
    from booru_ml.training.features import Frozen

    cut = cutting.folds(blank.truth, blank.groups, options["folds"], seed=options["seed"])
    frozen = Frozen(checkpoint)
    small: list[FloatArray] = []
    inputs = inputs_of(checkpoint, options["head"])
    whole = frozen.inputs(tracked(keep_pixels(frames(), small), len(blank), "as they are"), inputs)
    looks = {
        name: frozen.inputs(tracked(map(change, frames()), len(blank), name), inputs) for name, change in LOOKS.items()
    }
    said = {name: np.zeros_like(blank.chances) for name in ("", *looks)}
    floor = np.zeros(len(blank), bool)
    for fold in cut:
        head = _fitted((whole, *looks.values()), blank, fold, seed=options["seed"])
        for name, table in {"": whole, **looks}.items():
            said[name][fold.asked] = head.probabilities(table[fold.asked])
        floor[fold.asked] = cutting.nearest(np.stack(small), blank.truth, fold)
    answers = {name: replace(blank, chances=chances, floor=floor) for name, chances in said.items()}
    return Graded(answers.pop(""), answers, cut)


def _fitted(tables: Sequence[FloatArray], blank: Answers, fold: cutting.Fold, *, seed: int) -> Ordinal:
    """A head on the fitted rows of all ``tables``; its ridge is the likeliest on a part of them that it did not see."""
    from booru_ml.training.ordinal import fit

    count, grades = len(blank.classes), blank.truth

    def head(rows: Index, ridge: float) -> Ordinal:
        seen = np.concatenate([table[rows] for table in tables])
        return fit(seen, np.tile(grades[rows], len(tables)), count=count, ridge=ridge)

    def loss(ridge: float) -> float:
        said = head(fold.fitted[inner.fitted], ridge).probabilities(tables[0][fold.fitted[inner.asked]])
        true = grades[fold.fitted[inner.asked]]
        return -float(np.log(said[np.arange(len(true)), true] + TINY).mean())

    inner = cutting.folds(grades[fold.fitted], blank.groups[fold.fitted], INNER, seed=seed, strict=False)[0]
    enough = len(set(grades[fold.fitted[inner.fitted]].tolist())) == count
    return head(fold.fitted, min(RIDGES, key=loss) if enough else USUAL)


def inputs_of(checkpoint: Checkpoint, head: str) -> tuple[str, ...]:
    """What the checkpoint's own head sees, else the pooled features."""
    declared = checkpoint.heads.get(head)
    return declared.inputs if declared and declared.scored and not declared.source else ("pooled",)


def tracked(frames: Iterable[PixelArray], total: int, what: str) -> Iterator[PixelArray]:
    return track(frames, f"Looking, {what}", total=total)
