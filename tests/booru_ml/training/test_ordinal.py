"""Ordinal grades: fitted, in order, and compared with the truth."""

from __future__ import annotations

import numpy as np
import pytest

from booru_ml.errors import InvalidInput

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.torch

from booru_ml.training.ordinal import agreement, fit  # noqa: E402


def graded(count: int = 400, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Five numbers; the grade (0–3) follows the sum of the first two, finely graded where it is rare."""
    random = np.random.default_rng(seed)
    rows = random.normal(0, [1, 2, 1, 10, 0.1], (count, 5)).astype(np.float32)
    hidden = rows[:, 0] + rows[:, 1] / 2 + random.normal(0, 0.1, count)
    return rows, np.digitize(hidden, [-1.0, 0.2, 2.0])


def test_grades_of_unseen_rows_are_told() -> None:
    head = fit(*graded(), count=4, ridge=1e-3)
    rows, grades = graded(seed=1)
    found = agreement(grades, head.probabilities(rows).argmax(axis=1), count=4)
    assert found.accuracy > 0.85
    assert found.qwk > 0.9


def test_thresholds_rise_and_probabilities_add_up() -> None:
    head = fit(*graded(), count=4)
    assert (np.diff(head.thresholds) > 0).all()
    found = head.probabilities(graded(seed=2)[0])
    np.testing.assert_allclose(found.sum(axis=1), 1, atol=1e-5)
    assert (found >= 0).all()


def test_the_network_answers_the_same() -> None:
    from booru_ml.checkpoint.heads import HeadKind
    from booru_ml.nn.heads import probabilities

    head = fit(*graded(), count=4)
    rows = graded(seed=3)[0]
    logits = torch.from_numpy(rows @ head.weight[:, None] + np.float32(head.bias))
    there = probabilities(logits, HeadKind.ORDINAL, torch.from_numpy(head.thresholds))
    np.testing.assert_allclose(head.probabilities(rows), there.numpy(), atol=1e-5)


def test_a_rare_grade_weighs_as_much_as_a_common_one() -> None:
    rows, grades = graded(2000)
    thin = (grades != 3) | (np.arange(len(grades)) % 20 == 0)
    found = fit(rows[thin], grades[thin], count=4, ridge=1e-3).probabilities(rows).argmax(axis=1)
    assert (found[grades == 3] == 3).mean() > 0.8


def test_every_grade_needs_pictures() -> None:
    rows, grades = graded()
    with pytest.raises(InvalidInput, match="Every one of the 5 grades"):
        fit(rows, grades, count=5)


def test_agreement_by_hand() -> None:
    perfect = agreement([0, 1, 2, 3], [0, 1, 2, 3], count=4)
    assert (perfect.accuracy, perfect.mae, perfect.qwk) == (1, 0, 1)
    reversed_ = agreement([0, 1, 2, 3], [3, 2, 1, 0], count=4)
    assert (reversed_.accuracy, reversed_.mae, reversed_.qwk) == (0, 2, -1)
    assert agreement([0, 0, 3, 3], [1, 1, 1, 1], count=4).qwk == 0
    with pytest.raises(InvalidInput):
        agreement([], [], count=4)
