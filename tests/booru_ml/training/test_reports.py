"""What came of a training, in figures and drawings."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from booru_ml.evaluation.answers import Answers
from booru_ml.training import reports
from booru_ml.training.tasks import TASKS

pytestmark = pytest.mark.torch


def answered(
    task: str, classes: str | list[str], said: list[int], truth: list[int], taught: list[int]
) -> reports.Tested:
    paths = tuple(Path(str(number)) for number in range(len(truth)))
    chances = np.eye(len(classes))[said]
    answers = Answers(tuple(classes), paths, np.array([path.name for path in paths]), np.array(truth), chances)
    return reports.Tested(TASKS[task], answers, np.array(taught))


def test_classes_are_grouped_by_what_there_was_to_learn_from() -> None:
    found = answered("characters", "abc", [0, 0, 1, 1, 0, 2], [0, 0, 1, 1, 2, 2], [500, 50, 5]).summary()
    assert found["long_tail"] == {
        "many (> 100)": {"classes": 1, "accuracy": 1.0},
        "medium (20–100)": {"classes": 1, "accuracy": 1.0},
        "few (< 20)": {"classes": 1, "accuracy": 0.5},
    }
    assert found["accuracy_ci95"] == pytest.approx((0.4365, 0.9699), abs=1e-3)


def test_what_cannot_be_measured_is_null(tmp_path: Path) -> None:
    """Of pictures of one grade there is no agreement beyond chance."""
    reports.write(tmp_path, answered("quality", ["bad", "good"], [1, 1], [1, 1], [5, 5]), [])
    assert json.loads((tmp_path / "report.json").read_text())["test"]["qwk"] is None


def test_a_label_between_dollars_is_drawn_as_it_is(tmp_path: Path) -> None:
    names = ["$_$", "$x", "b"]
    found = answered("characters", names, [0, 1, 2], [0, 1, 2], [1, 1, 1])
    reports.write(tmp_path, found, [])
    reports.draw_pairs(tmp_path / "pairs.png", [{"one": "$_$", "other": "b", "accuracy": 0.5}])
    assert [row["true"] for row in csv.DictReader((tmp_path / "confusion.csv").read_text().splitlines())] == names
