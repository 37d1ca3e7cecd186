"""What a model said of labelled pictures: the one shape that every figure, interval and report starts from."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from booru_ml.errors import InvalidInput
from booru_ml.types import PixelArray

Table = npt.NDArray[np.float64]
Index = npt.NDArray[np.int64]
Names = npt.NDArray[np.str_]


@dataclass(frozen=True, slots=True, eq=False)
class Answers:
    """``chances`` (N, C), 0–1, of ``classes`` for the pictures at ``paths``.

    ``truth``: the right class of each, (N,), or, where any number of classes can hold, (N, C) of 0 and 1. ``groups``:
    what pictures have in common (a source, a character) and intervals must not count twice. ``floor``: whether the
    nearest picture of 16×16 pixels has the right class, where that was asked. ``limits`` (C,): scores from which a
    class counts, where any number can hold.
    """

    classes: tuple[str, ...]
    paths: tuple[Path, ...]
    groups: Names
    truth: Index
    chances: Table
    floor: npt.NDArray[np.bool_] | None = None
    limits: Table | None = None

    def __len__(self) -> int:
        return len(self.paths)

    @property
    def said(self) -> Index:
        """The likeliest class of each."""
        return np.asarray(self.chances.argmax(axis=1), np.int64)

    @property
    def right(self) -> npt.NDArray[np.bool_]:
        return np.asarray(self.said == self.truth)

    @property
    def expected(self) -> Table:
        """The mean grade of each, where classes are grades in order."""
        return np.asarray(self.chances @ np.arange(len(self.classes)), np.float64)

    def take(self, rows: Index) -> Self:
        """The answers on these rows, in this order; a row may come twice."""
        floor = None if self.floor is None else self.floor[rows]
        paths = tuple(self.paths[row] for row in rows)
        return replace(
            self, paths=paths, groups=self.groups[rows], truth=self.truth[rows], chances=self.chances[rows], floor=floor
        )

    def saying(self, chances: Table) -> Self:
        """The same pictures, other answers."""
        return replace(self, chances=chances)


@dataclass(frozen=True, slots=True)
class Findings:
    """``answers`` are what the figures come from; ``figures`` stand in the JSON as they are, ``notes`` are for people
    only; ``unreadable``: pictures left out; ``frame``: what was looked at for a row, where that is not the file;
    ``pairs``: tables of classes by classes for the report, by title."""

    answers: Answers
    unreadable: int = 0
    figures: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    frame: Callable[[int], PixelArray] | None = None
    pairs: Mapping[str, Table] = field(default_factory=dict)


def numbered(labels: Sequence[str], classes: Sequence[str], what: str) -> Index:
    """The place of each label among ``classes``. Raises ``InvalidInput`` for one that is not there."""
    place = {name: number for number, name in enumerate(classes)}
    if strange := sorted(set(labels) - place.keys()):
        few = ", ".join(repr(name) for name in strange[:5])
        raise InvalidInput(f"{what} does not know {len(strange)} of the classes: {few}{', …' if strange[5:] else ''}.")
    return np.array([place[label] for label in labels], np.int64)
