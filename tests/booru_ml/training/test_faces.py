"""The face head is tested on characters by whom nothing was chosen."""

from __future__ import annotations

from pathlib import Path

import pytest

from booru_ml.errors import InvalidInput
from booru_ml.types import Box

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.torch

from booru_ml.training import faces, heatmap  # noqa: E402
from booru_ml.training.heatmap import Scenes  # noqa: E402

FACE, ELSEWHERE = Box(0.1, 0.1, 0.2, 0.2), Box(0.7, 0.7, 0.2, 0.2)


def test_no_character_teaches_chooses_and_is_reported() -> None:
    crops = tuple((f"who{number}", Path(f"{number}-{pose}.png")) for number in range(60) for pose in range(2))
    learnt, choosing, reported = faces.parts(faces.Material((), crops))
    names = [{name for name, _ in part.crops} for part in (learnt, choosing, reported)]
    assert sum(map(len, names)) == len(set.union(*names)) == 60
    assert len(names[2]) - len(names[1]) in (0, 1)
    assert min(map(len, names)) > 2
    with pytest.raises(InvalidInput, match="Too few characters"):
        faces.parts(faces.Material((), crops[:2]))


def test_figures_are_those_of_a_score_that_others_chose(monkeypatch: pytest.MonkeyPatch) -> None:
    """By the pictures that are reported 0.2 would be the best score; by those that choose it is 0.35."""
    maps = torch.zeros(1, 1, 4, 4)
    choosing, reported = Scenes((maps,), ((FACE,),)), Scenes((maps + 1,), ((FACE,),))
    said = {0.0: [(FACE, 0.6), (ELSEWHERE, 0.32)], 1.0: [(FACE, 0.25)]}
    monkeypatch.setattr(
        heatmap,
        "detect",
        lambda _, scenes, threshold: [[one for one in said[float(scenes.maps[0].mean())] if one[1] >= threshold]],
    )
    seen = faces.Seen(choosing, {"drawings": choosing}, {"drawings": reported})
    threshold, figures = faces.examine(None, seen)  # type: ignore[arg-type]
    assert threshold == 0.35
    assert figures["drawings"].recall == 0
