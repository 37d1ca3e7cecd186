"""The figures of a task, each a function of ``Answers`` alone, so that one bootstrap serves them all."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations

import numpy as np
import numpy.typing as npt

from booru_ml.evaluation.answers import Answers, Index, Table
from booru_ml.evaluation.intervals import Metric

MANY, FEW = 100, 20
"""Pictures to learn a class from, above and below which it counts as many-shot and few-shot (Liu et al. 2019)."""
BINS = 15

Marks = npt.NDArray[np.bool_]


def accuracy(answers: Answers) -> float:
    return float(answers.right.mean())


def top5(answers: Answers) -> float:
    """Share of pictures whose class is among the five likeliest; of equally likely ones the first count."""
    own = answers.chances[np.arange(len(answers)), answers.truth][:, None]
    earlier = np.arange(len(answers.classes)) < answers.truth[:, None]
    ahead = (answers.chances > own) | ((answers.chances == own) & earlier)
    return float((ahead.sum(axis=1) < 5).mean())


def balanced(answers: Answers) -> float:
    """Mean over the classes that are there of the share of their pictures that is right."""
    sizes = np.bincount(answers.truth, minlength=len(answers.classes))
    right = np.bincount(answers.truth, weights=answers.right, minlength=len(answers.classes))
    return float((right[sizes > 0] / sizes[sizes > 0]).mean())


def floor(answers: Answers) -> float:
    """What the nearest picture of 16×16 pixels gets right."""
    return float("nan") if answers.floor is None else float(answers.floor.mean())


def ece(answers: Answers) -> float:
    """Expected calibration error of the likeliest class over equal-width bins (Guo et al. 2017)."""
    return calibration_error(answers.chances.max(axis=1), answers.right)


def qwk(answers: Answers) -> float:
    """Quadratically weighted kappa (Cohen 1968) of grades in order."""
    return kappa(answers.truth, answers.said, len(answers.classes))


def kappa(truth: Index, said: Index, count: int) -> float:
    """``qwk`` of ``count`` grades; nan where there is but one."""
    table = np.zeros((count, count))
    np.add.at(table, (truth, said), 1)
    cost = np.square(np.subtract.outer(np.arange(count), np.arange(count)))
    worst = float((cost * np.outer(table.sum(axis=1), table.sum(axis=0))).sum()) / max(1.0, table.sum())
    return 1.0 - float((cost * table).sum()) / worst if worst else float("nan")


def spearman(answers: Answers) -> float:
    """Rank correlation of the mean grade with the true one."""
    from scipy.stats import spearmanr

    return float(spearmanr(answers.expected, answers.truth).statistic)


def mae(answers: Answers) -> float:
    """Mean distance of the likeliest grade from the true one, in grades."""
    return float(np.abs(answers.said - answers.truth).mean())


CLOSED_SET: Mapping[str, Metric] = {"top1": accuracy, "top5": top5, "balanced_top1": balanced, "ece": ece}
ARTIST: Mapping[str, Metric] = {"accuracy": accuracy, "balanced_accuracy": balanced, "ece": ece}
ORDINAL: Mapping[str, Metric] = {"qwk": qwk, "spearman": spearman, "mae": mae, "accuracy": accuracy, "ece": ece}


def calibration_error(chance: Table, right: Marks, bins: int = BINS) -> float:
    """Σ share of pictures · |what was said − what was so| over the bins."""
    return float(sum(share * abs(said - true) for share, said, true in reliability(chance, right, bins)))


def reliability(chance: Table, right: Marks, bins: int = BINS) -> list[tuple[float, float, float]]:
    """Of each bin that is not empty: share of the pictures, mean probability, share that is right."""
    place = np.minimum((chance * bins).astype(int), bins - 1)
    inside = [place == number for number in range(bins)]
    return [(float(m.mean()), float(chance[m].mean()), float(right[m].mean())) for m in inside if m.any()]


def pairwise(answers: Answers) -> Table:
    """C × C: how often a picture of one class is nearer to it than one of another is, by the ratio of the two chances.

    The area under the ROC of each pair of classes (Hand & Till 2001), ties counting half; nan on the diagonal.
    """
    from sklearn.metrics import roc_auc_score

    count = len(answers.classes)
    found = np.full((count, count), np.nan)
    logs = np.log(np.clip(answers.chances, 1e-12, 1))
    for a, b in combinations(range(count), 2):
        rows = (answers.truth == a) | (answers.truth == b)
        if len(set(answers.truth[rows].tolist())) == 2:
            found[a, b] = found[b, a] = roc_auc_score(answers.truth[rows] == b, (logs[:, b] - logs[:, a])[rows])
    return found


def by_shots(answers: Answers, learned: Index) -> dict[str, dict[str, float]]:
    """Balanced accuracy of the classes with many, some and few pictures to learn from, and how many classes those are.

    ``learned`` (N,): how many pictures taught the class of each before it was asked about; folds differ in this, and a
    class counts by the mean of its own.
    """
    sizes = np.bincount(answers.truth, minlength=len(answers.classes))
    counts = np.bincount(answers.truth, weights=learned, minlength=len(answers.classes)) / np.maximum(1, sizes)
    parts = {"many": counts > MANY, "medium": (counts >= FEW) & (counts <= MANY), "few": counts < FEW}
    found = {}
    for name, chosen in parts.items():
        rows = np.flatnonzero(chosen[answers.truth])
        if len(rows):
            some = answers.take(rows)
            found[name] = {"classes": len(set(some.truth.tolist())), "balanced_top1": balanced(some)}
    return found


# Any number of classes at once


def average_precisions(answers: Answers) -> Table:
    """Average precision of each class, (C,); nan for one that no picture has."""
    from sklearn.metrics import average_precision_score

    columns = zip(answers.truth.T, answers.chances.T, strict=True)
    return np.array([average_precision_score(true, said) if true.any() else np.nan for true, said in columns])


def mean_average_precision(answers: Answers) -> float:
    found = average_precisions(answers)
    return float(np.nanmean(found)) if np.isfinite(found).any() else float("nan")


def macro_f1(answers: Answers) -> float:
    """Mean F1 of the classes that are there or are said, at the scores from which they count."""
    hit, wrong, missed = _counts(answers)
    there = hit + wrong + missed > 0
    return float((2 * hit / np.maximum(1, 2 * hit + wrong + missed))[there].mean()) if there.any() else float("nan")


def micro_f1(answers: Answers) -> float:
    """F1 over all marks alike."""
    hit, wrong, missed = (int(count.sum()) for count in _counts(answers))
    return 2 * hit / max(1, 2 * hit + wrong + missed)


def _counts(answers: Answers) -> tuple[Index, Index, Index]:
    """Of each class: marks that were found, said wrongly, missed."""
    truth = answers.truth.astype(bool)
    said = answers.chances >= (0.5 if answers.limits is None else answers.limits)
    hit, wrong, missed = ((marks).sum(axis=0) for marks in (truth & said, ~truth & said, truth & ~said))
    return hit, wrong, missed


TAGS: Mapping[str, Metric] = {"macro_f1": macro_f1, "micro_f1": micro_f1, "map": mean_average_precision}
