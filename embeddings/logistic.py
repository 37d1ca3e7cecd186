"""The constants under which the outcomes of played galleries are likeliest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from embeddings.chances import Calibration
from embeddings.games import FloatVector, Outcomes, join

CROWD = -1.0
"""How odds go with the logarithm of the number of subjects: the more there are, the likelier a stranger looks like one
by chance, in proportion. Sets of a few dozen classes cannot show it, and what they seem to show would be believed for
thousands."""


def fit_odds(calibration: Calibration, played: Sequence[Outcomes]) -> tuple[Calibration, float]:
    """Coefficients by Newton's method with a touch of ridge, and the log loss; sets weigh alike, so do their games.

    Evidence never speaks against its subject, however little background there is: a coefficient that would is held at
    zero. That of the subjects' number is ``CROWD``.
    """
    rows = join(played)
    weights = np.concatenate([item.weight / item.weight.sum() for item in played]) / len(played)
    crowd = CROWD * np.log(rows.count)
    usual = [rows.standard, rows.lead, -np.log(rows.size), np.ones(len(rows.count))]
    single = np.isnan(rows.alike)
    likeness = [np.where(single, 0.0, rows.alike), single.astype(np.float64)]
    table = np.stack([*usual, rows.standard * rows.shortage, rows.shortage, *likeness], axis=1)
    target = rows.correct.astype(np.float64)
    free = list(range(table.shape[1]))
    while True:
        found = np.zeros(table.shape[1])
        found[free] = _newton(table[:, free], target, weights, crowd)
        worst = {0: found[0], 1: found[1], 4: found[0] + found[4]}
        against = [column for column in free if worst.get(column, 0.0) < 0]
        if not against:
            break
        free.remove(min(against, key=lambda column: worst[column]))
    chance = np.clip(1 / (1 + np.exp(-np.clip(table @ found + crowd, -60, 60))), 1e-9, 1 - 1e-9)
    loss = -float(weights @ (target * np.log(chance) + (1 - target) * np.log(1 - chance)))
    score, margin, supports, bias, blur, blind, alike, one = (float(value) for value in found)
    fitted = replace(calibration, score=score, margin=margin, subjects=CROWD, supports=-supports, bias=bias)
    return replace(fitted, blur=blur, blind=blind, alike=alike, single=one), loss


def _newton(table: FloatVector, target: FloatVector, weights: FloatVector, offset: FloatVector) -> FloatVector:
    """Coefficients of ``table``'s columns beside what ``offset`` gives each row."""
    found = np.zeros(table.shape[1])
    ridge = 1e-4 * np.eye(table.shape[1])
    for _ in range(50):
        chance = 1 / (1 + np.exp(-np.clip(table @ found + offset, -60, 60)))
        slope = table.T @ (weights * (target - chance)) - ridge @ found
        curve = (table * (weights * chance * (1 - chance))[:, None]).T @ table + ridge
        step = np.linalg.solve(curve, slope)
        found += step
        if np.abs(step).max() < 1e-8:
            break
    return found
