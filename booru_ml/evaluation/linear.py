"""Classes from frozen features: a ridge classifier, or the nearest class mean; both with calibrated probabilities."""

from __future__ import annotations

import numpy as np

from booru_ml.evaluation import folds as cutting
from booru_ml.evaluation.answers import Index, Names, Table
from booru_ml.evaluation.calibration import TINY, softened, temperature
from booru_ml.types import FloatArray

INNER = 3
"""Folds within the fitted rows."""
RIDGES = (0.003, 0.01, 0.03, 0.1, 0.3)
"""How strongly weights are held back, for each column."""


def learned(rows: FloatArray, truth: Index, groups: Names, fold: cutting.Fold, *, seed: int = 0) -> Table:
    """Probabilities of the classes for the asked rows, by a ridge classifier fitted on the others.

    How much it is held back, and how its scores become probabilities, is chosen by folds within the fitted rows.
    """
    from sklearn.decomposition import PCA
    from sklearn.preprocessing import StandardScaler

    scale = StandardScaler().fit(rows[fold.fitted])
    # A rotation onto the rows' own span changes no ridge's answer; it makes the many fits below small.
    turn = PCA().fit(scale.transform(rows[fold.fitted]))
    table, asked = (turn.transform(scale.transform(rows[part])) for part in (fold.fitted, fold.asked))
    own, count = truth[fold.fitted], int(truth.max()) + 1
    inner = cutting.folds(own, groups[fold.fitted], INNER, seed=seed, strict=False)
    best = (np.inf, RIDGES[0] * rows.shape[1], 1.0)
    for share in RIDGES:
        ridge = share * rows.shape[1]
        said = np.concatenate(
            [_ridge(table[one.fitted], own[one.fitted], table[one.asked], count, ridge) for one in inner]
        )
        true = own[np.concatenate([one.asked for one in inner])]
        by = temperature(said, true)
        loss = -float(np.log(softened(said, by)[np.arange(len(true)), true] + TINY).mean())
        best = min(best, (loss, ridge, by))
    return softened(_ridge(table, own, asked, count, best[1]), best[2])


def _ridge(rows: Table, truth: Index, asked: Table, count: int, ridge: float) -> Table:
    """Scores (N, C) by least squares on ±1 targets; classes weigh alike, however many pictures they have."""
    from sklearn.linear_model import Ridge

    sizes = np.bincount(truth, minlength=count)
    targets = np.where(truth[:, None] == np.arange(count), 1.0, -1.0)
    fitted = Ridge(alpha=ridge).fit(rows, targets, sample_weight=len(truth) / (sizes[truth] * (sizes > 0).sum()))
    return np.asarray(fitted.predict(asked), np.float64)


def nearest_mean(rows: FloatArray, truth: Index, groups: Names, fold: cutting.Fold, *, seed: int = 0) -> Table:
    """As ``learned``, by cosine to the normalised class means (prototypical networks, Snell et al. 2017)."""
    table, own, count = rows[fold.fitted], truth[fold.fitted], int(truth.max()) + 1
    inner = cutting.folds(own, groups[fold.fitted], INNER, seed=seed, strict=False)
    said = np.concatenate([_cosines(table[one.fitted], own[one.fitted], table[one.asked], count) for one in inner])
    by = temperature(said, own[np.concatenate([one.asked for one in inner])])
    return softened(_cosines(table, own, rows[fold.asked], count), by)


def _cosines(rows: FloatArray, truth: Index, asked: FloatArray, count: int) -> Table:
    means = np.zeros((count, rows.shape[1]))
    np.add.at(means, truth, _unit(rows))
    return np.asarray(_unit(asked) @ _unit(means).T, np.float64)


def _unit(rows: FloatArray | Table) -> Table:
    return np.asarray(rows / (np.linalg.norm(rows, axis=1, keepdims=True) + TINY), np.float64)
