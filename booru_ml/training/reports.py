"""What came of a training: figures of the test pictures, by class and by how much there was to learn from."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn import metrics

from booru_ml.checkpoint.heads import HeadKind
from booru_ml.disk import whole
from booru_ml.evaluation.answers import Answers
from booru_ml.evaluation.lettering import label
from booru_ml.evaluation.scores import FEW, MANY, floor
from booru_ml.training.runs import Curve, write_table
from booru_ml.training.tasks import Task

MOST_DRAWN = 40
"""Classes up to which a confusion matrix can be read as a picture."""
FEW_DRAWN = 12
"""Classes up to which its cells have room for their numbers."""


@dataclass(frozen=True)
class Tested:
    """What was said of the test pictures, or of their tiles, and how many train pictures each label had."""

    task: Task
    answers: Answers
    taught: npt.NDArray[np.int64]

    def summary(self) -> dict[str, Any]:
        """Figures of all, and of the many-, medium- and few-shot classes."""
        answers, count = self.answers, len(set(self.answers.paths))
        figures = self.task.figures(answers)
        # JSON has no word for what could not be measured but null.
        found: dict[str, Any] = {"pictures": count, **{n: f if np.isfinite(f) else None for n, f in figures.items()}}
        if answers.floor is not None:
            found["pixel_1nn"] = floor(answers)
        if count < len(answers):
            found["tiles"] = len(answers)
        if "accuracy" in found:
            # Tiles of one picture are right or wrong together: no more witnesses than there are pictures.
            found["accuracy_ci95"] = wilson(found["accuracy"] * count, count)
        if self.task.kind is HeadKind.SOFTMAX:
            found |= {"long_tail": self._long_tail()}
        if len(answers.classes) == 2 and not self.task.several and len(set(answers.truth.tolist())) == 2:
            found["auc"] = float(metrics.roc_auc_score(answers.truth, answers.chances[:, 1]))
        return found

    def classes(self) -> list[dict[str, Any]]:
        """One row for each label: train and test pictures, and recall, precision and F1."""
        answers, single = self.answers, np.eye(len(self.answers.classes), dtype=bool)
        truth = answers.truth > 0 if self.task.several else single[answers.truth]
        said = answers.chances >= 0.5 if self.task.several else single[answers.said]
        hits, asked, named = (truth & said).sum(axis=0), truth.sum(axis=0), said.sum(axis=0)
        return [
            {
                "label": label,
                "train": int(taught),
                "test": int(total),
                "recall": round(hit / total, 4) if total else "",
                "precision": round(hit / given, 4) if given else "",
                "f1": round(2 * hit / (total + given), 4) if total + given else "",
            }
            for label, taught, hit, total, given in zip(answers.classes, self.taught, hits, asked, named, strict=True)
        ]

    def confusion(self) -> npt.NDArray[np.int64]:
        """Rows: true label, columns: said."""
        labels = range(len(self.answers.classes))
        return np.asarray(metrics.confusion_matrix(self.answers.truth, self.answers.said, labels=labels))

    def _long_tail(self) -> dict[str, Any]:
        """Mean of the classes' accuracies, by their train pictures; classes without test pictures are left out."""
        rows = [row for row in self.classes() if row["test"]]
        parts = {
            f"many (> {MANY})": [row["recall"] for row in rows if row["train"] > MANY],
            f"medium ({FEW}–{MANY})": [row["recall"] for row in rows if FEW <= row["train"] <= MANY],
            f"few (< {FEW})": [row["recall"] for row in rows if row["train"] < FEW],
        }
        return {name: {"classes": len(part), "accuracy": float(np.mean(part))} for name, part in parts.items() if part}


def wilson(hits: float, count: int) -> tuple[float, float]:
    """95 % interval of a share (Wilson 1927): honest for few pictures, too."""
    z, p = 1.96, hits / count
    middle = (p + z * z / (2 * count)) / (1 + z * z / count)
    half = z * np.sqrt(p * (1 - p) / count + z * z / (4 * count * count)) / (1 + z * z / count)
    return round(float(middle - half), 4), round(float(middle + half), 4)


def write(folder: Path, tested: Tested | None, curve: Curve, **more: Any) -> Mapping[str, Any]:
    """``report.json``, and the tables and drawings that belong to it."""
    summary = {**more, **({"test": tested.summary()} if tested else {})}
    with whole(folder / "report.json") as partial:
        partial.write_text(json.dumps(summary, indent=2) + "\n", encoding="utf-8")
    draw_curve(folder / "curve.png", curve)
    if tested is not None:
        write_table(folder / "per_class.csv", tested.classes())
        if not tested.task.several:
            _write_confusion(folder, tested)
        if "auc" in summary["test"]:
            _write_roc(folder, tested)
    return summary


def draw_curve(path: Path, curve: Curve) -> None:
    """Losses over epochs, and the figures of validation."""
    with _drawing(path, columns=2) as (left, right):
        for name in dict.fromkeys(key for row in curve for key in row if key != "epoch"):
            points = [(row["epoch"], row[name]) for row in curve if name in row]
            (left if name.endswith("loss") else right).plot(*zip(*points, strict=True), label=name)
        for axes in (left, right):
            axes.set_xlabel("epoch")
            if axes.lines:
                axes.legend()


def draw_sweep(path: Path, rows: Sequence[Mapping[str, float]]) -> None:
    """Accuracy over the learning rate, a line for each length of training."""
    with _drawing(path) as (axes,):
        for length in sorted({row["epochs"] for row in rows}):
            points = sorted((row["rate"], row["accuracy"]) for row in rows if row["epochs"] == length)
            axes.semilogx(*zip(*points, strict=True), marker="o", label=f"{length:g} epochs")
        axes.set_xlabel("learning rate")
        axes.set_ylabel("validation accuracy")
        axes.legend()


def draw_pairs(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """The accuracy of each pair as a triangle of cells: table 1 of "Anime Artist Analysis"."""
    names = sorted({str(row[side]) for row in rows for side in ("one", "other")})
    cells = np.full((len(names), len(names)), np.nan)
    for row in rows:
        cells[names.index(row["other"]), names.index(row["one"])] = row["accuracy"]
    with _drawing(path) as (axes,):
        axes.figure.colorbar(axes.imshow(cells, vmin=0.5, vmax=1), label="accuracy")
        if len(names) <= FEW_DRAWN:
            for (down, across), value in np.ndenumerate(cells):
                if not np.isnan(value):
                    # Dark ground below the middle of the scale.
                    axes.text(across, down, f"{value:.2f}", ha="center", va="center", color="kw"[int(value < 0.75)])
        label(axes, names)


def _write_confusion(folder: Path, tested: Tested) -> None:
    counts = tested.confusion()
    rows = [
        {"true": name, **dict(zip(tested.answers.classes, map(int, row), strict=True))}
        for name, row in zip(tested.answers.classes, counts, strict=True)
    ]
    write_table(folder / "confusion.csv", rows)
    if len(counts) > MOST_DRAWN:
        return
    with _drawing(folder / "confusion.png") as (axes,):
        metrics.ConfusionMatrixDisplay(counts).plot(ax=axes, colorbar=False, include_values=len(counts) <= FEW_DRAWN)
        label(axes, tested.answers.classes)


def _write_roc(folder: Path, tested: Tested) -> None:
    wrong, right, scores = metrics.roc_curve(tested.answers.truth, tested.answers.chances[:, 1])
    rows = [
        {"threshold": float(score), "false_positives": float(x), "true_positives": float(y)}
        for x, y, score in zip(wrong, right, scores, strict=True)
    ]
    write_table(folder / "roc.csv", rows)
    with _drawing(folder / "roc.png") as (axes,):
        metrics.RocCurveDisplay(fpr=wrong, tpr=right).plot(ax=axes)


class _drawing:  # noqa: N801
    """Axes of a picture that is written when the block ends. Imported late: most of matplotlib's cost is its start."""

    def __init__(self, path: Path, *, columns: int = 1) -> None:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure

        self.path, self.figure = path, Figure(figsize=(6 * columns, 5), layout="tight")
        FigureCanvasAgg(self.figure)
        self.axes = self.figure.subplots(1, columns, squeeze=False)[0]

    def __enter__(self) -> Any:
        return self.axes

    def __exit__(self, failed: type[BaseException] | None, *_: object) -> None:
        if failed is None:
            with whole(self.path) as partial:
                self.figure.savefig(partial)
