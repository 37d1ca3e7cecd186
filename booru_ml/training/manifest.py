"""Data folders: ``manifest.csv`` or class subfolders, read strictly."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from booru_ml.errors import InvalidInput

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".gif", ".avif"})


@dataclass(frozen=True, slots=True)
class Sample:
    """One labelled picture. ``group`` names what must never stand on both sides of a split (a source, a post)."""

    path: Path
    label: str
    group: str
    split: str = ""


def read(folder: Path, *, label: str, split: str | None = None) -> list[Sample]:
    """Samples of ``folder``: the column ``label`` of its ``manifest.csv``, else its class subfolders.

    ``split`` keeps the rows of one split only (ignored where the manifest has none). Raises ``InvalidInput``.
    """
    if not folder.is_dir():
        raise InvalidInput(f"{folder} is no folder; --data takes one with manifest.csv or a subfolder for each class.")
    manifest = folder / "manifest.csv"
    samples = _from_manifest(manifest, label) if manifest.is_file() else _from_subfolders(folder)
    if split is not None and any(sample.split for sample in samples):
        samples = [sample for sample in samples if sample.split == split]
    if not samples:
        raise InvalidInput(f"{folder} holds no labelled pictures{f' of split {split!r}' if split else ''}.")
    return samples


def at_least(samples: Sequence[Sample], count: int) -> list[Sample]:
    """Samples of classes with ``count`` pictures or more."""
    sizes = Counter(sample.label for sample in samples)
    return [sample for sample in samples if sizes[sample.label] >= count]


def _from_manifest(manifest: Path, label: str) -> list[Sample]:
    folder = manifest.parent.resolve()
    with manifest.open(newline="", encoding="utf-8") as file:
        rows = csv.DictReader(file)
        missing = {"path", label} - set(rows.fieldnames or ())
        if missing:
            raise InvalidInput(f"{manifest} lacks the column(s) {', '.join(sorted(missing))}.")
        samples = []
        for row in rows:
            path = (folder / row["path"]).resolve()
            if not path.is_relative_to(folder):
                raise InvalidInput(f"{manifest}, line {rows.line_num}: {row['path']!r} leads out of the folder.")
            if row[label]:
                group = row.get("group") or row["path"]
                samples.append(Sample(path, row[label], group, row.get("split") or ""))
    return samples


def _from_subfolders(folder: Path) -> list[Sample]:
    return [
        Sample(path, path.parent.name, str(path))
        for path in sorted(folder.glob("*/*"))
        if path.suffix.lower() in SUFFIXES and path.is_file()
    ]
