"""What came of a training, in figures and drawings."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

from booru_ml.checkpoint import Label
from booru_ml.training import reports
from booru_ml.training.tasks import TASKS
from booru_ml.types import Category

pytestmark = pytest.mark.torch


def test_classes_are_grouped_by_what_there_was_to_learn_from() -> None:
    labels = [Label(name, Category.CHARACTER) for name in "abc"]
    said = np.eye(3, dtype=np.float32)[[0, 0, 1, 1, 0, 2]]
    truth = [(0,), (0,), (1,), (1,), (2,), (2,)]
    found = reports.Tested(TASKS["characters"], labels, said, truth, np.array([500, 50, 5])).summary()
    assert found["long_tail"] == {
        "many (> 100)": {"classes": 1, "accuracy": 1.0},
        "medium (20–100)": {"classes": 1, "accuracy": 1.0},
        "few (< 20)": {"classes": 1, "accuracy": 0.5},
    }
    assert found["accuracy_ci95"] == pytest.approx((0.4365, 0.9699), abs=1e-3)


def test_a_label_between_dollars_is_drawn_as_it_is(tmp_path: Path) -> None:
    names = ["$_$", "$x", "b"]
    labels = [Label(name, TASKS["characters"].category) for name in names]
    found = reports.Tested(TASKS["characters"], labels, np.eye(3, dtype=np.float32), [(0,), (1,), (2,)], np.ones(3))
    reports.write(tmp_path, found, [])
    reports.draw_pairs(tmp_path / "pairs.png", [{"one": "$_$", "other": "b", "accuracy": 0.5}])
    assert [row["true"] for row in csv.DictReader((tmp_path / "confusion.csv").read_text().splitlines())] == names
