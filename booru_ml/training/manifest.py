"""Data folders: ``manifest.csv`` or class subfolders, read strictly."""

from __future__ import annotations

import csv
import json
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TypeVar

from booru_ml.disk import whole
from booru_ml.errors import InvalidInput
from booru_ml.nn.survey import SUFFIXES
from booru_ml.types import Box

Item = TypeVar("Item")
MANIFEST = "manifest.csv"
GROUP = "group"
"""Usual name of the column, which a manifest need not have; another one is asked for on purpose."""
BOOKS = "samples.csv"
"""In the folder of a training's books: what it taught and tested with."""
COLUMNS = ("path", "label", "group", "split", "box", "tags", "rejected")
SPLITS = {"training": "train", "valid": "val", "validation": "val", "dev": "val", "testing": "test"}
"""Other names that are in use."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One labelled picture. ``group`` names what must never stand on both sides of a split (a source, a post).

    ``box``: the part of the picture that is meant; the whole where it is None. ``tags``: the labels of a picture that
    may have several, or none of them (None: it has one, ``label``); ``rejected``: those that people said it does not
    have, so that the rest is undecided. None: all that it does not have, it has not.
    """

    path: Path
    label: str
    group: str
    split: str = ""
    box: Box | None = None
    tags: tuple[str, ...] | None = None
    rejected: tuple[str, ...] | None = None

    @property
    def labels(self) -> tuple[str, ...]:
        return (self.label,) if self.tags is None else self.tags


def read(
    folder: Path,
    *,
    label: str,
    group: str = GROUP,
    split: str | None = None,
    faces: bool = False,
    several: bool = False,
) -> list[Sample]:
    """Samples of ``folder``: as a training kept them, the column ``label`` of its ``manifest.csv``, else its class
    subfolders.

    ``group`` names the column of what must not stand on both sides of a split; a picture without it is its own.
    ``split`` keeps the rows of one split only (ignored where the manifest has none); ``faces`` takes the first face of
    each picture instead of the whole, by the manifest's column ``faces``; ``several`` reads the label as words, tags,
    and the column ``rejected`` as those that are not there. Without that column an empty cell says that a picture has
    none of the tags; with it, that nobody decided about the picture.
    Raises ``InvalidInput``.
    """
    if not folder.is_dir():
        raise InvalidInput(f"{folder} is no folder; --data takes one with manifest.csv or a subfolder for each class.")
    listed = (folder / MANIFEST).is_file()
    if (folder / BOOKS).is_file() and not listed:
        samples = _from_books(folder, several)
    else:
        samples = _from_manifest(folder, label, group, faces, several) if listed else _from_subfolders(folder)
        if several:
            samples = [replace(sample, tags=_words(sample.label)) for sample in samples]
    split = split and _split(split, "--split")
    bare = sum(not sample.split for sample in samples)
    if 0 < bare < len(samples):
        raise InvalidInput(f"{folder}: {bare} of {len(samples)} pictures have no split; fill all of them, or none.")
    if split and not bare:
        samples = [sample for sample in samples if sample.split == split]
    if not samples:
        raise InvalidInput(f"{folder} holds no labelled pictures{f' of split {split!r}' if split else ''}.")
    return samples


def called(folders: Iterable[Path]) -> dict[Path, str]:
    """What to call each folder: by its own name, or by its whole path where two have one name."""
    homes = {folder: folder.resolve() for folder in folders}
    names = Counter(home.name for home in set(homes.values()))
    return {folder: home.name if names[home.name] == 1 else str(home) for folder, home in homes.items()}


def at_least(samples: Sequence[Sample], count: int) -> list[Sample]:
    """Samples of classes with ``count`` pictures or more."""
    sizes = Counter(sample.label for sample in samples)
    return [sample for sample in samples if sizes[sample.label] >= count]


def at_most(samples: Sequence[Sample], count: int) -> list[Sample]:
    """The first ``count`` samples of each class."""
    seen: Counter[str] = Counter()
    kept = []
    for sample in samples:
        seen[sample.label] += 1
        if seen[sample.label] <= count:
            kept.append(sample)
    return kept


def evenly(samples: Sequence[Item], count: int) -> list[Item]:
    """Up to ``count`` of them, evenly over the set as it is listed."""
    return list(samples[:: max(1, -(-len(samples) // count))])


def boxes(text: str, where: str) -> tuple[Box, ...]:
    """``x y width height`` as fractions of the picture, joined by ``;``. Raises ``InvalidInput``, naming ``where``."""
    try:
        return tuple(Box(*map(float, part.split())) for part in text.split(";") if part)
    except (TypeError, ValueError):
        raise InvalidInput(f"{where}: faces must be 'x y width height;…', not {text[:80]!r}.") from None


def rows(folder: Path, *columns: str) -> Iterator[tuple[Path, dict[str, str], str]]:
    """Each picture of the folder's ``manifest.csv``, its row, and where that stands, for messages. Links are followed,
    so that one picture has one path.

    Raises ``InvalidInput`` where there is no manifest, it lacks one of ``columns``, or a path leads out of the folder.
    """
    manifest, home = folder / MANIFEST, folder.resolve()
    if not manifest.is_file():
        raise InvalidInput(f"{folder} has no {MANIFEST}; `manage.py booru_draw --out DIR` makes such a folder.")
    with _table(manifest) as table:
        if missing := {"path", *columns} - set(table.fieldnames or ()):
            said = ", ".join(table.fieldnames or ()) or "none"
            hint = " Columns are parted by commas." if ";" in said or "\t" in said else ""
            hint = " Small letters count." if missing <= {name.lower() for name in table.fieldnames or ()} else hint
            lacking = ", ".join(sorted(missing))
            raise InvalidInput(f"{manifest} lacks the column(s) {lacking}; its first line has {said}.{hint}")
        for row in table:
            where = f"{manifest}, line {table.line_num}"
            if not "".join(row[name] for name in table.fieldnames or ()).strip():
                continue  # spreadsheets end in rows of commas
            if not row["path"].strip() or "\0" in row["path"]:
                raise InvalidInput(f"{where}: the cell 'path' names no file.")
            if not _inside(home, named := _named_picture(home, row["path"])):
                raise InvalidInput(f"{where}: {row['path']!r} leads out of the folder; put a link to it there.")
            yield named.resolve(), row, where


def columns(folder: Path) -> set[str]:
    """What the folder's manifest says of each picture; nothing where there is none. Raises ``InvalidInput``."""
    if not (folder / MANIFEST).is_file():
        return set()
    with _table(folder / MANIFEST) as table:
        return set(table.fieldnames or ())


@contextmanager
def _table(file: Path) -> Iterator[csv.DictReader[str]]:
    """Its rows by the names in the first line; more cells than names are left out. Raises ``InvalidInput``."""
    try:
        with file.open(newline="", encoding="utf-8-sig") as opened:  # spreadsheets put a byte order mark in front
            table = csv.DictReader(opened, restkey="", restval="")
            table.fieldnames = [name.strip() for name in table.fieldnames or ()]
            yield table
    except (UnicodeDecodeError, csv.Error) as error:
        raise InvalidInput(f"{file} is no table in UTF-8 ({error}). Save it as CSV with commas, in UTF-8.") from error


def kept(file: Path) -> list[Sample]:
    """What ``keep`` wrote. Raises ``InvalidInput``."""
    found = []
    with _table(file) as table:
        for row in table:
            try:
                box = Box(*map(float, row["box"].split())) if row["box"] else None
                # An empty list: no tags. An empty cell: a picture that has one label instead.
                tags, rejected = (tuple(json.loads(row[key])) if row[key] else None for key in ("tags", "rejected"))
                found.append(Sample(Path(row["path"]), row["label"], row["group"], row["split"], box, tags, rejected))
            except (KeyError, TypeError, ValueError) as error:
                raise InvalidInput(f"{file}, line {table.line_num}: no training wrote that ({error!r}).") from error
    return found


def keep(file: Path, samples: Sequence[Sample]) -> None:
    with whole(file) as partial, partial.open("w", newline="", encoding="utf-8") as opened:
        writer = csv.writer(opened, lineterminator="\n")
        writer.writerow(COLUMNS)
        for one in samples:
            box = " ".join(repr(side) for side in asdict(one.box).values()) if one.box else ""
            several = ("" if x is None else json.dumps(x, ensure_ascii=False) for x in (one.tags, one.rejected))
            writer.writerow([one.path, one.label, one.group, one.split, box, *several])


def _from_books(folder: Path, several: bool) -> list[Sample]:
    samples = kept(folder / BOOKS)
    if any((sample.tags is not None) != several for sample in samples):
        raise InvalidInput(f"{folder} has {'one label' if several else 'any number of tags'} for each picture.")
    return samples


def _from_manifest(folder: Path, label: str, group: str, faces: bool, several: bool) -> list[Sample]:
    samples = []
    needed = {label, group} - {GROUP} | ({"faces"} if faces else set())
    for path, row, where in rows(folder, *needed):
        found = boxes(row["faces"], where) if faces else (None,)
        name = row[label].strip()
        rejected = _words(row["rejected"]) if several and "rejected" in row else None
        told = bool(name or rejected) or (several and rejected is None)
        if told and found:
            together = row.get(group, "").strip() or str(path)
            split = _split(row.get("split", ""), where)
            samples.append(Sample(path, name, together, split, found[0], rejected=rejected))
    return samples


def _named_picture(home: Path, said: str) -> Path:
    """The picture that a cell names, perhaps as Windows writes it or with spaces around."""
    ways = [home / way for way in (said, said.strip(), said.strip().replace("\\", "/"))]
    return next((path for path in ways if path.is_file()), ways[0])


def _inside(home: Path, named: Path) -> bool:
    """Whether the folder holds the picture or a link to it, wherever that leads."""
    return any(path.is_relative_to(home) for path in (named.resolve(), Path(os.path.normpath(named))))


def _words(text: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(text.split()))


def _split(text: str, where: str) -> str:
    """Raises ``InvalidInput`` for a name that nobody would read: its pictures would be left out unseen."""
    name = text.strip().lower()
    name = SPLITS.get(name, name)
    if name not in ("", *SPLITS.values()):
        raise InvalidInput(f"{where}: split is train, val or test, not {text[:40]!r}.")
    return name


def _from_subfolders(folder: Path) -> list[Sample]:
    """A picture's class is the first folder on the way to it, however deep it lies; where the first ones are named as
    splits, the second. Hidden files and folders are what systems and viewers left there: previews, caches."""
    homes = sorted(folder.resolve().glob("[!.]*/"))
    splits = [SPLITS.get(home.name.lower(), home.name.lower()) for home in homes]
    if {"train"} < set(splits) <= set(SPLITS.values()):
        if loose := [path for home in homes for path in home.glob("[!.]*") if path.suffix.lower() in SUFFIXES]:
            raise InvalidInput(f"{folder} has folders of splits, but {loose[0]} lies in no class's folder below them.")
        parts = zip(homes, splits, strict=True)
        return [replace(sample, split=split) for home, split in parts for sample in _from_subfolders(home)]
    return [
        Sample(path, home.name, str(path.resolve()))
        for home in homes
        for path in sorted(home.rglob("[!.]*"))
        if path.suffix.lower() in SUFFIXES
        and not any(part.startswith(".") for part in path.relative_to(home).parts)
        and path.is_file()
    ]
