"""Grades are tested on artists and characters that the head never saw; looks keep a drawing a drawing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from booru_ml.errors import InvalidInput
from tests.booru_ml.training import folders

pytest.importorskip("torch")
pytestmark = pytest.mark.torch

from booru_ml.training import quality, views  # noqa: E402


def looks(*, leak: bool) -> quality.Looks:
    """36 artists × characters; the grade shows in the first number, or (``leak``) only in who drew it."""
    random = np.random.default_rng(0)
    drawings, rows = [], []
    for number in range(720):
        artist, character = number % 12, number // 12 % 12
        grade = artist % 4 if leak else int(random.integers(4))
        drawings.append(quality.Graded(Path(f"{number}.png"), grade, f"{artist:02}", f"{character:02}"))
        who = np.eye(12)[artist] * 5
        rows.append(np.concatenate([[0 if leak else grade + random.normal(0, 0.2)], who]))
    table = np.array(rows, np.float32)
    tested = np.flatnonzero([int(d.artist) % 6 == int(d.character) % 6 for d in drawings])
    return quality.Looks(tuple(drawings), table, (table,), tested, {"grey": table[tested]})


def test_a_grade_that_shows_is_found() -> None:
    result = quality.cross_validate(looks(leak=False), ridge=1e-3)
    assert result.held_out["as they are"].qwk > 0.9
    assert result.steady == {"grey": 1.0}
    assert result.held_out["as they are"].count == 120


def test_knowing_the_artist_does_not_help() -> None:
    assert quality.cross_validate(looks(leak=True), ridge=1e-3).held_out["as they are"].qwk < 0.3


def test_drawings_are_read_with_their_grades(tmp_path: Path) -> None:
    folder = folders.drawings(tmp_path / "drawings", characters=2)
    found = quality.drawings(folder)
    assert [drawing.grade for drawing in found[:4]] == [0, 1, 2, 3]
    assert (found[5].artist, found[5].character) == ("hand2", "someone01")
    manifest = folder / "manifest.csv"
    manifest.write_text(manifest.read_text().replace(",rough,", ",splendid,"))
    with pytest.raises(InvalidInput, match="'splendid'"):
        quality.drawings(folder)


def test_a_varied_look_shows_something_and_is_no_larger() -> None:
    frame = np.full((200, 160, 3), 255, np.uint8)
    frame[80:120, 60:100] = (200, 20, 30)
    random = np.random.default_rng(0)
    for _ in range(40):
        seen = views.varied(frame, random)
        assert seen.shape[0] <= 200
        assert seen.shape[1] <= 160
        assert seen.std() > 0


def test_fixed_looks() -> None:
    frame = np.random.default_rng(0).integers(0, 256, (600, 400, 3)).astype(np.uint8)
    assert views.FIXED["middle 60 %"](frame).shape == (360, 240, 3)
    assert max(views.FIXED["256 pixels"](frame).shape) == 256
    grey = views.FIXED["grey"](frame)
    assert (grey[..., 0] == grey[..., 2]).all()
