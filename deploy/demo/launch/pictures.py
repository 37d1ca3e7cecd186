"""Which pictures the demo uses: a folder of class subfolders, chosen evenly and always alike."""

from __future__ import annotations

import csv
import hashlib
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from pathlib import Path
from typing import TypeVar

from booru_ml.errors import InvalidInput
from deploy.demo.board import tagnames

T = TypeVar("T")

MANIFEST = "manifest.csv"
FOREIGN_CLASSES = 4
"""One class in so many is not enrolled, where there are more than two."""
STRANGERS_SHARE = 5
"""One in so many of the pictures to recognise shows somebody who was not enrolled."""
LAYOUT = "It takes a folder with one subfolder per character, each with two pictures or more."


class NoPictures(Exception):
    """The folder cannot be used; the message says why and what is expected."""


class Role(StrEnum):
    SUPPORT = "support"
    QUERY = "query"
    STRANGER = "stranger"


@dataclass(frozen=True)
class Picture:
    """``group``: pictures of one source, which must not stand on both sides; the rest where the manifest tells."""

    path: Path
    label: str
    group: str = ""
    split: str = ""
    finish: str = ""
    artist: str = ""

    @cached_property
    def sha256(self) -> str:
        with self.path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()


@dataclass(frozen=True, slots=True)
class Sample:
    picture: Picture
    role: Role


def choose(folder: Path, *, characters: int, support: int, others: int) -> list[Sample]:
    """Supports of some classes, other pictures of theirs, and pictures of classes that are not enrolled.

    Same folder, same choice. Raises ``NoPictures``.
    """
    classes = read(folder)
    ready = [name for name, pictures in classes.items() if _sides(pictures)]
    if not ready:
        raise NoPictures(f"No subfolder of {folder} has two different pictures. {LAYOUT}")
    count = min(characters, len(ready))
    if len(classes) > 2:
        count = min(count, len(classes) - max(1, len(classes) // FOREIGN_CLASSES))
    enrolled = _spread(ready, count)
    foreign = [name for name in classes if name not in enrolled]
    strangers = others // STRANGERS_SHARE if foreign else 0
    samples: list[Sample] = []
    queries: list[list[Picture]] = []
    for name in enrolled:
        first, second = _divide(classes[name], support)
        samples += [Sample(picture, Role.SUPPORT) for picture in first]
        queries.append(second)
    samples += [Sample(picture, Role.QUERY) for picture in _deal(queries, others - strangers)]
    foreigners = [_spread(classes[name], len(classes[name])) for name in _spread(foreign, len(foreign))]
    samples += [Sample(picture, Role.STRANGER) for picture in _deal(foreigners, strangers)]
    return _distinct(samples)


def read(folder: Path) -> dict[str, list[Picture]]:
    """Pictures by class, both sorted; by ``manifest.csv`` where there is one. Raises ``NoPictures``."""
    if not folder.is_dir():
        raise NoPictures(f"There is no folder {folder}. {LAYOUT}")
    listed = _manifest(folder) if (folder / MANIFEST).is_file() else _subfolders(folder)
    classes: dict[str, list[Picture]] = defaultdict(list)
    for picture in sorted(listed, key=lambda item: str(item.path)):
        classes[picture.label].append(picture)
    if not classes:
        raise NoPictures(f"{folder} has no subfolder with files in it. {LAYOUT}")
    return dict(sorted(classes.items()))


def _subfolders(folder: Path) -> Iterable[Picture]:
    for sub in folder.iterdir():
        if sub.is_dir() and not sub.name.startswith("."):
            for path in sub.rglob("*"):
                if path.is_file() and not path.name.startswith("."):
                    yield Picture(path, _label(sub.name))


def _manifest(folder: Path) -> Iterable[Picture]:
    with (folder / MANIFEST).open(newline="", encoding="utf-8-sig", errors="replace") as file:
        rows = csv.DictReader(file)
        if not {"path", "character"} <= set(rows.fieldnames or ()):
            raise NoPictures(f"{folder / MANIFEST} needs the columns path and character (group and split if known).")
        root = folder.resolve()
        for row in rows:
            path = folder / (row["path"] or "")
            if path.is_file() and path.resolve().is_relative_to(root):
                extra = {name: row.get(name) or "" for name in ("group", "split", "finish", "artist")}
                yield Picture(path, _label(row["character"] or ""), **extra)


def _label(name: str) -> str:
    """The tag of a class."""
    try:
        return tagnames.normalise(name.replace(",", "_").replace("*", "_").lstrip("-~"))
    except InvalidInput as error:
        raise NoPictures(f"The class {name!r} cannot become a tag: {error.message}") from None


def _divide(pictures: Sequence[Picture], support: int) -> tuple[list[Picture], list[Picture]]:
    """Supports (finished ones of the training split first) and, of other groups, what is left to recognise."""
    even = _spread(pictures, len(pictures))
    most = min(support, len({_group(picture) for picture in pictures}) - 1)
    first: dict[str, Picture] = {}
    for picture in sorted(
        even, key=lambda item: (item.split not in ("", "train"), item.finish not in ("", "finished"))
    ):
        if len(first) < most:
            first.setdefault(_group(picture), picture)
    rest = [picture for picture in even if _group(picture) not in first]
    return list(first.values()), sorted(rest, key=lambda item: item.split not in ("", "test"))


def _sides(pictures: Sequence[Picture]) -> bool:
    """Whether one can be enrolled and another recognised."""
    return len({_group(picture) for picture in pictures}) > 1


def _group(picture: Picture) -> str:
    return picture.group or str(picture.path)


def _spread(items: Sequence[T], count: int) -> list[T]:
    """``count`` items, evenly spread over the whole and far ones first, so that any beginning is spread too."""
    if count <= 0 or not items:
        return []
    picked = [items[len(items) * number // count] for number in range(min(count, len(items)))]
    order = sorted(range(len(picked)), key=lambda place: int(f"{place:020b}"[::-1], 2))
    return [picked[place] for place in order] if count == len(items) else picked


def _deal(piles: Sequence[Sequence[Picture]], count: int) -> list[Picture]:
    """Takes from each pile in turn until there are ``count``."""
    dealt: list[Picture] = []
    for turn in range(max((len(pile) for pile in piles), default=0)):
        for pile in piles:
            if turn < len(pile) and len(dealt) < count:
                dealt.append(pile[turn])
    return dealt


def _distinct(samples: Iterable[Sample]) -> list[Sample]:
    """The same file is uploaded once; the first role counts."""
    seen: dict[str, Sample] = {}
    for sample in samples:
        seen.setdefault(sample.picture.sha256, sample)
    return list(seen.values())
