"""Cross-validation whose folds share no group, with a check that they do not, and the floor of 16×16 pixels."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from booru_ml.errors import InvalidInput
from booru_ml.evaluation.answers import Index, Names
from booru_ml.types import FloatArray

if TYPE_CHECKING:
    from booru_ml.training.audit import Look

DEALS = 50
CHUNK = 1024


@dataclass(frozen=True, slots=True, eq=False)
class Fold:
    """Rows to fit on, and rows to be asked about."""

    fitted: Index
    asked: Index


def folds(truth: Index, groups: Names, count: int, *, seed: int = 0, strict: bool = True) -> list[Fold]:
    """Every row is asked about once, by a fold that holds nothing of its group; classes are spread evenly.

    Groups are dealt anew until no fold asks about a class that it cannot learn. Raises ``InvalidInput`` where that is
    not to be had; ``strict`` false is content with the first deal.
    """
    from sklearn.model_selection import StratifiedGroupKFold

    count = min(count, len(set(groups)), int(np.bincount(truth, minlength=1).max()))
    if count < 2:
        raise InvalidInput("Cross-validation needs two folds or more, and a class with pictures of as many groups.")
    for deal in range(DEALS):
        cut = StratifiedGroupKFold(count, shuffle=True, random_state=seed + deal)
        found = [Fold(np.asarray(a), np.asarray(b)) for a, b in cut.split(truth, truth, groups)]
        if not strict or all(set(truth[fold.asked]) <= set(truth[fold.fitted]) for fold in found):
            for fold in found:
                check(groups, fold)
            return found
    raise InvalidInput(
        f"{count} folds cannot be cut so that each learns every class from other groups than it is asked about. "
        "Give every class pictures of two groups or more."
    )


def check(groups: Names, fold: Fold) -> None:
    """Raises ``InvalidInput`` where a group stands on both sides: figures would be flattered."""
    if shared := set(groups[fold.fitted]) & set(groups[fold.asked]):
        raise InvalidInput(
            f"Leak: {len(shared)} groups stand on both sides of the split, as {str(min(shared))!r}. Give all pictures "
            "of a group one split, or leave the column split empty: folds are cut then that share none."
        )


def near_copies(looks: Sequence[Look], cut: Sequence[Fold], say: Callable[[str], Any]) -> int:
    """How many rows are asked about though a near-copy is fitted on, whatever its group; said where there are some."""
    from booru_ml.training.audit import PLAIN, bits_of, near

    telling = np.array([one.spread > PLAIN for one in looks])  # hashes of plain pictures say nothing
    kinds, kind = np.unique(bits_of(looks), axis=0, return_inverse=True)
    kind = kind.ravel()  # which NumPy 2.0 alone gives as a column
    alike = [*((number, number) for number in range(len(kinds))), *near(kinds)]
    found: set[int] = set()
    for fold in cut:
        fitted = set(kind[fold.fitted[telling[fold.fitted]]].tolist())
        close = {b for a, b in alike if a in fitted} | {a for a, b in alike if b in fitted}
        found |= {row for row in fold.asked.tolist() if telling[row] and kind[row] in close}
    if found:
        say(
            f"{len(found)} pictures are asked about though a copy or near-copy of them teaches, in another group or "
            "split: this flatters the figures. Put copies into one group."
        )
    return len(found)


def nearest(pixels: FloatArray, truth: Index, fold: Fold) -> npt.NDArray[np.bool_]:
    """Whether the nearest fitted row of ``pixels`` is of the asked one's class."""
    from sklearn.neighbors import KNeighborsClassifier

    found = KNeighborsClassifier(1).fit(pixels[fold.fitted], truth[fold.fitted]).predict(pixels[fold.asked])
    return np.asarray(found == truth[fold.asked])


def nearest_other(pixels: FloatArray, groups: Names) -> Index:
    """Of each row the nearest one of another group, by Euclidean distance."""
    squares = np.square(pixels).sum(axis=1)
    found = np.zeros(len(pixels), np.int64)
    for start in range(0, len(pixels), CHUNK):
        part = slice(start, start + CHUNK)
        far = squares[None] - 2 * (pixels[part] @ pixels.T)
        far[groups[part, None] == groups[None]] = np.inf
        found[part] = far.argmin(axis=1)
    return found


def least_groups(labels: Sequence[str], groups: Sequence[str], count: int) -> set[str]:
    """Labels with pictures of ``count`` groups or more."""
    of: dict[str, set[str]] = {}
    for label, group in zip(labels, groups, strict=True):
        of.setdefault(label, set()).add(group)
    return {label for label, found in of.items() if len(found) >= count}
