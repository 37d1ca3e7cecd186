"""Probabilities that mean what they say, and the scores from which tags count; both kept with the checkpoint."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from booru_ml.checkpoint import HeadKind, files, pin
from booru_ml.disk import beside
from booru_ml.errors import InvalidInput
from booru_ml.evaluation.answers import Index, Table

if TYPE_CHECKING:
    from pathlib import Path

    from booru_ml.checkpoint import Checkpoint
    from booru_ml.checkpoint.labels import Curve

TINY = 1e-12
APART = 1e-6
"""Least distance of a curve's points."""
KEPT = 1e-3
Marks = npt.NDArray[np.bool_]


def temperature(logits: Table, truth: Index) -> float:
    """By what to divide the logits (N, C) so that the true classes (N,) are likeliest (Guo et al. 2017)."""
    from scipy.optimize import minimize_scalar

    rows = np.arange(len(truth))

    def loss(log: float) -> float:
        return -float(np.log(softened(logits, np.exp(log))[rows, truth] + TINY).mean())

    return float(np.exp(minimize_scalar(loss, bounds=(-5.0, 5.0), method="bounded").x))


def softened(logits: Table, by: float) -> Table:
    """Probabilities (N, C) of logits at a temperature."""
    scaled = logits / by
    powers = np.exp(scaled - scaled.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))


def isotonic(chances: Table, truth: Marks) -> Curve:
    """The rising curve that makes ``truth`` likeliest, all labels alike (Zadrozny & Elkan 2002).

    Each step stands at the mean of its scores and the curve is straight between (Oron & Flournoy 2017), so that no two
    scores become one and the order of labels stays. Raises ``InvalidInput`` where all marks are alike.
    """
    from sklearn.isotonic import IsotonicRegression

    if truth.all() or not truth.any():
        raise InvalidInput("Calibration needs pictures that have a label and pictures that lack one.")
    scores, marks = chances.ravel(), truth.ravel()
    steps = IsotonicRegression(y_min=0.0, y_max=1.0).fit_transform(scores, marks.astype(np.float64))
    levels, step = np.unique(steps, return_inverse=True)
    centres = np.bincount(step, scores) / np.bincount(step)
    inner = [(x, y) for x, y in zip(centres, levels, strict=True) if APART <= x <= 1 - APART]
    found = [(0.0, 0.0)]
    for x, y in [*inner, (1.0, float(levels[-1]))]:
        if x - found[-1][0] >= APART:
            # A little of the score itself keeps what is level, or nought, apart.
            found.append((round(float(x), 9), round(float((1 - KEPT) * y + KEPT * x), 9)))
    return tuple(x for x, _ in found), tuple(y for _, y in found)


def surprise(chances: Table, truth: Marks) -> float:
    """Mean negative log-likelihood of marks that are each true or not."""
    return -float(np.log(np.where(truth, chances, 1 - chances) + TINY).mean())


def best_f1(truth: Marks, score: Table) -> float | None:
    """The score (N,) from which on the F1 of one tag is highest; None for a tag that no picture has."""
    return _best(truth, score, None)


def at_precision(truth: Marks, score: Table, precision: float) -> float | None:
    """The lowest score from which on this share of the pictures has the tag; None where no score does."""
    return _best(truth, score, precision)


def _best(truth: Marks, score: Table, least: float | None) -> float | None:
    from sklearn.metrics import precision_recall_curve

    if not truth.any():
        return None
    precision, recall, scores = precision_recall_curve(truth, score)
    precision, recall = precision[:-1], recall[:-1]
    if least is None:
        return _half_way(scores, int((2 * precision * recall / (precision + recall + TINY)).argmax()))
    enough = np.flatnonzero(precision >= least)
    return _half_way(scores, int(enough[recall[enough].argmax()])) if len(enough) else None


def _half_way(scores: Table, place: int) -> float:
    """Between this score and the next lower one: a threshold on a picture's very score would rest on that picture."""
    below = scores[place - 1] if place else 0.0
    return float((scores[place] + below) / 2)


def equal_error(truth: Marks, scores: Table) -> float:
    """The one score for all tags at which precision and recall over all marks meet."""
    order = np.argsort(-scores, axis=None, kind="stable")
    marks = int(truth.sum())
    if not marks:
        raise InvalidInput("No picture has a tag that the model knows.")
    # Where as many are said as there are, both have the same divisor.
    return float(scores.flat[order[min(marks, scores.size) - 1]])


def store_thresholds(checkpoint: Checkpoint, head: str, chosen: Mapping[str, float]) -> Path:
    """Writes ``chosen`` scores of the head's labels after the rows of ``thresholds.csv``, and pins the folder anew.

    Raises ``InvalidInput`` where the folder's label file would overrule them.
    """
    with beside(checkpoint.path, copied=True) as folder:
        _set_thresholds(checkpoint, folder, head, chosen)
        pin(folder)
    return checkpoint.path / files.THRESHOLDS


def _set_thresholds(checkpoint: Checkpoint, folder: Path, head: str, chosen: Mapping[str, float]) -> None:
    if files.WD_LABELS in checkpoint.sums and "best_threshold" in _header(folder / files.WD_LABELS):
        raise InvalidInput(
            f"{checkpoint.path}: {files.WD_LABELS} has thresholds of its own, which would overrule these."
        )
    path = folder / files.THRESHOLDS
    columns = ["head", "category", "name", "threshold"]
    rows: list[dict[str, str]] = []
    if files.THRESHOLDS in checkpoint.sums:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = [
                row for row in csv.DictReader(file) if (row.get("head"), row.get("name")) not in _keys(head, chosen)
            ]
    rows += [{"head": head, "name": name, "threshold": f"{value:.9g}"} for name, value in sorted(chosen.items())]
    with path.open("w", newline="", encoding="utf-8") as file:
        table = csv.DictWriter(file, columns, restval="", extrasaction="ignore", lineterminator="\n")
        table.writeheader()
        table.writerows(rows)


def store_temperature(checkpoint: Checkpoint, head: str, by: float) -> Checkpoint:
    """Divides the softmax head's last layer by a temperature, so that all that serve it are calibrated alike; a curve
    that it had is forgotten.

    Raises ``InvalidInput`` for a head whose last layer is not its own.
    """
    from safetensors.torch import load_file

    from booru_ml.nn.verification import verify
    from booru_ml.nn.writing import set_heads

    declared = checkpoint.heads[head]
    if declared.kind is not HeadKind.SOFTMAX or declared.source:
        raise InvalidInput(f"Head {head} of {checkpoint.name} has no last layer of its own to hold a temperature.")
    config = json.loads((checkpoint.path / files.CONFIG).read_text(encoding="utf-8"))
    held = load_file(checkpoint.path / files.HEADS)
    own = {key: tensor for key, tensor in held.items() if key.partition(".")[0] == head}
    last = f"{head}.layers.{len(declared.hidden)}."
    own = {key: tensor / by if key.startswith(last) else tensor for key, tensor in own.items()}
    labels = [(head, label.name, str(label.category)) for label in declared.labels]
    said = {head: config["booru"]["heads"][head]}

    def check(written: Checkpoint) -> None:
        verify(written)

    return set_heads(checkpoint, said, own, labels, check=check)


def store_curve(checkpoint: Checkpoint, head: str, curve: Curve) -> Checkpoint:
    """Keeps the curve in ``calibration.csv`` instead of one that was there, and pins the folder anew.

    Thresholds of a sigmoid head move along, so that what was said above them still is.
    """
    from booru_ml.nn.writing import set_calibration

    said = checkpoint.thresholds.get(head, {}) if checkpoint.heads[head].kind is HeadKind.SIGMOID else {}
    with beside(checkpoint.path, copied=True) as folder:
        if said:
            scores, chances = checkpoint.calibration.get(head, ((0.0, 1.0), (0.0, 1.0)))
            moved = np.interp(np.interp(list(said.values()), chances, scores), *curve)
            _set_thresholds(checkpoint, folder, head, dict(zip(said, moved.tolist(), strict=True)))
        set_calibration(folder, {**checkpoint.calibration, head: curve})
        pin(folder)
    return type(checkpoint).load(checkpoint.path)


def _keys(head: str, chosen: Mapping[str, float]) -> set[tuple[str | None, str | None]]:
    return {(head, name) for name in chosen}


def _header(path: Path) -> str:
    with path.open(encoding="utf-8-sig") as file:
        return file.readline()
