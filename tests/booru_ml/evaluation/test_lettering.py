"""Names of classes on drawings: as they are, by whatever font has their letters, else by number."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from booru_ml.evaluation import report
from booru_ml.evaluation.answers import Answers, Findings
from booru_ml.training import reports
from booru_ml.training.tasks import TASKS

pytestmark = pytest.mark.torch
NAMES = ["miku", "初音ミク", "$_$", "⌣_⌣"]


@pytest.fixture(autouse=True)
def fonts_of_matplotlib(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """No fonts of the machine's own; nothing is said of letters that are drawn as boxes, nor of fonts."""
    from matplotlib.font_manager import fontManager

    shipped = [entry for entry in fontManager.ttflist if "mpl-data" in entry.fname]
    monkeypatch.setattr(fontManager, "ttflist", shipped)
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message="Glyph")
        yield
    assert not caplog.records


def test_a_name_that_no_font_can_write_is_numbered() -> None:
    from matplotlib.figure import Figure

    from booru_ml.evaluation.lettering import label

    axes = Figure().subplots()
    assert label(axes, NAMES) == {"初音ミク": "#2"}
    for labels in (axes.get_xticklabels(), axes.get_yticklabels()):
        assert [text.get_text() for text in labels] == ["miku", "#2", r"\$_\$", "⌣_⌣"]
        assert {tuple(text.get_fontfamily()) for text in labels} == {("sans-serif", "STIXGeneral")}


def test_a_report_says_which_class_a_number_stands_for(tmp_path: Path) -> None:
    chances = np.eye(4, dtype=np.float32)
    answers = Answers(tuple(NAMES), (tmp_path,) * 4, np.array(NAMES), np.arange(4), chances)
    report.write(tmp_path / "report.html", "characters", [], Findings(answers), {})
    assert "#2 初音ミク" in (tmp_path / "report.html").read_text()


def test_a_training_draws_such_names_too(tmp_path: Path) -> None:
    answers = Answers(tuple(NAMES), (tmp_path,) * 4, np.array(NAMES), np.arange(4), np.eye(4))
    found = reports.Tested(TASKS["characters"], answers, np.ones(4, dtype=int))
    reports.write(tmp_path, found, [])
    reports.draw_pairs(tmp_path / "pairs.png", [{"one": "初音ミク", "other": "miku", "accuracy": 0.5}])
    assert {path.name for path in tmp_path.glob("*.png")} == {"confusion.png", "curve.png", "pairs.png"}
