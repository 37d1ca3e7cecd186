"""labels.csv, thresholds.csv and calibration.csv, in our own columns or in those of published taggers."""

from __future__ import annotations

import csv
import io
from collections.abc import Collection, Mapping
from itertools import pairwise, product

from booru_ml.checkpoint.files import CALIBRATION, LABELS, THRESHOLDS, WD_LABELS, Folder
from booru_ml.checkpoint.heads import Label
from booru_ml.types import Category

# The numbers that published label files use for Danbooru's categories; 9 is theirs for the four ratings.
NUMBERED = {
    "0": Category.GENERAL,
    "1": Category.ARTIST,
    "3": Category.COPYRIGHT,
    "4": Category.CHARACTER,
    "5": Category.META,
    "9": Category.RATING,
}
WD_RATINGS = {"general": "g", "sensitive": "s", "questionable": "q", "explicit": "e"}
"""What the four ratings are called in the published taggers' files, and here."""
MOST_LABELS = 1_000_000

Curve = tuple[tuple[float, ...], tuple[float, ...]]
"""Scores, and the probabilities that they stand for; straight between them, and both rising."""
Address = tuple[str, str, str]
"""Head, category and name, each empty for all."""
_MEND = "Correct the row or take it out"


def rows(folder: Folder, name: str, columns: set[str]) -> list[dict[str, str]]:
    """The file's rows; every one of ``columns`` is there and no row is ragged."""
    try:
        reader = csv.DictReader(io.StringIO(folder.text(name), newline=""), strict=True)
        found = []
        for row in reader:
            if None in row or None in row.values():
                folder.fail(f"{name}, line {reader.line_num}: too many or too few columns")
            found.append(row)
            if len(found) > MOST_LABELS:
                folder.fail(f"{name} has more than {MOST_LABELS:,} rows")
    except csv.Error as error:
        folder.fail(f"{name} is no valid CSV ({error})")
    if missing := columns - set(reader.fieldnames or ()):
        folder.fail(f"{name} lacks the columns {', '.join(sorted(missing))}")
    return found


def category(folder: Folder, name: str, text: str) -> Category:
    """A category by our name or by its number in published files."""
    if text in NUMBERED:
        return NUMBERED[text]
    try:
        return Category(text)
    except ValueError:
        folder.fail(f"{name}: category {text!r} is unknown (known: {', '.join(Category)}, or Danbooru's numbers)")


def read_labels(folder: Folder) -> dict[str, tuple[Label, ...]]:
    """Labels by head, in the order of the head's outputs."""
    if LABELS not in folder:
        return {}
    found: dict[str, list[Label]] = {}
    for row in rows(folder, LABELS, {"head", "name", "category"}):
        label = Label(row["name"], category(folder, LABELS, row["category"]))
        found.setdefault(row["head"], []).append(label)
    for head, labels in found.items():
        names = [label.name for label in labels]
        if len(set(names)) != len(names) or "" in names:
            folder.fail(f"{LABELS}: a label of head {head!r} is empty or stands twice")
    return {head: tuple(labels) for head, labels in found.items()}


def read_wd_labels(folder: Folder) -> tuple[list[Label], dict[int, float]]:
    """A published tagger's ``selected_tags.csv``: labels by output row, ratings by our names, and, by output row, too,
    ``best_threshold`` where it is given."""
    labels, thresholds = [], {}
    for number, row in enumerate(rows(folder, WD_LABELS, {"name", "category"})):
        kind = category(folder, WD_LABELS, row["category"])
        labels.append(Label(WD_RATINGS.get(row["name"], row["name"]) if kind is Category.RATING else row["name"], kind))
        if row.get("best_threshold"):
            thresholds[number] = threshold(folder, WD_LABELS, row["best_threshold"])
    ratings = [label.name for label in labels if label.category is Category.RATING]
    if len(set(ratings)) != len(ratings) or not set(ratings) <= set(WD_RATINGS.values()):
        folder.fail(f"{WD_LABELS}: the ratings (category 9) are {', '.join(WD_RATINGS)}, each once. {_MEND}")
    return labels, thresholds


def threshold(folder: Folder, name: str, text: str, what: str = "a threshold") -> float:
    try:
        value = float(text)
    except ValueError:
        folder.fail(f"{name}: {text[:40]!r} is no number")
    if not 0.0 <= value <= 1.0:
        folder.fail(f"{name}: {what} must lie between 0 and 1, not {text[:40]}")
    return value


def read_calibration(folder: Folder, heads: Collection[str]) -> dict[str, Curve]:
    """By head: columns ``head``, ``score``, ``probability``, from the lowest score to the highest."""
    if CALIBRATION not in folder:
        return {}
    found: dict[str, list[tuple[float, float]]] = {}
    for row in rows(folder, CALIBRATION, {"head", "score", "probability"}):
        if row["head"] not in heads:
            folder.fail(f"{CALIBRATION}: there is no head {row['head'][:40]!r} that gives probabilities")
        point = tuple(threshold(folder, CALIBRATION, row[name], f"a {name}") for name in ("score", "probability"))
        found.setdefault(row["head"], []).append((point[0], point[1]))
    for head, points in found.items():
        if len(points) < 2 or not all(a[0] < b[0] and a[1] < b[1] for a, b in pairwise(points)):
            folder.fail(f"{CALIBRATION}: head {head} needs two points or more whose scores and probabilities rise")
    return {head: (tuple(x for x, _ in points), tuple(y for _, y in points)) for head, points in found.items()}


def read_thresholds(folder: Folder, labels: Mapping[str, tuple[Label, ...]]) -> dict[str, dict[str, float]]:
    """Least score at which a label counts, by head and label.

    Columns ``threshold`` and any of ``head``, ``category``, ``name``: an empty or absent cell means all. Rows are
    applied in order, so later, finer rows win. A row of a published file names its category twice (``0,general``) and
    the ratings by their long names.
    """
    found: dict[str, dict[str, float]] = {head: {} for head in labels}
    if THRESHOLDS not in folder:
        return found
    known = _addressed(labels, published=WD_LABELS in folder)
    wanted: dict[Address, float] = {}
    for row in rows(folder, THRESHOLDS, {"threshold"}):
        head, name = row.get("head", ""), row.get("name", "")
        kind = str(category(folder, THRESHOLDS, row["category"])) if row.get("category") else ""
        address = (head, kind, "" if name == kind else name)
        if head and head not in labels:
            folder.fail(f"{THRESHOLDS}: there is no head {head[:40]!r} that gives probabilities. {_MEND}")
        if address[2] and address not in known:
            where = f" of head {head}" * bool(head) + f" of category {kind}" * bool(kind)
            folder.fail(f"{THRESHOLDS}: there is no label {name[:60]!r}{where}. {_MEND}")
        wanted.pop(address, None)  # The last of several rows for the same labels counts, in its place.
        wanted[address] = threshold(folder, THRESHOLDS, row["threshold"])
    for address, value in wanted.items():
        for head, name in known.get(address, ()):
            found[head][name] = value
    return found


def _addressed(labels: Mapping[str, tuple[Label, ...]], *, published: bool) -> dict[Address, list[tuple[str, str]]]:
    """Every way in which a row can mean a label, and the labels (head, name) that it means."""
    long = {short: name for name, short in WD_RATINGS.items()} if published else {}
    found: dict[Address, list[tuple[str, str]]] = {}
    for head, several in labels.items():
        for label in several:
            names = {label.name, "", long.get(label.name, "") if label.category is Category.RATING else ""}
            for address in product((head, ""), (str(label.category), ""), names):
                found.setdefault(address, []).append((head, label.name))
    return found
