"""Composed scenes: their boxes lie inside, on something that was pasted, and the same seed composes the same."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

import numpy as np
import pytest

from booru_ml.errors import InvalidInput
from booru_ml.training.scenes import SMALLEST_FACE, Composer, drawings
from tests.booru_ml.training import folders


@pytest.fixture(scope="module")
def known(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return folders.drawings(tmp_path_factory.mktemp("set") / "drawings")


@pytest.fixture(scope="module")
def crops(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return sorted(folders.crops(tmp_path_factory.mktemp("set") / "crops").glob("*/*.png"))


def test_boxes_lie_inside_and_are_large_enough(known: Path, crops: list[Path]) -> None:
    scenes = list(Composer(drawings(known), crops, seed=3).scenes(40))
    assert sum(len(scene.faces) for scene in scenes) > 30
    for scene in scenes:
        assert scene.pixels.dtype == np.uint8
        for face in scene.faces:
            assert face.x >= 0
            assert face.y >= 0
            assert face.x + face.width <= 1 + 1e-6
            assert face.y + face.height <= 1 + 1e-6
            assert max(face.width, face.height) >= SMALLEST_FACE / 3


@pytest.mark.parametrize("which", ["drawings", "crops"])
def test_one_kind_of_material_is_enough(known: Path, crops: list[Path], which: str) -> None:
    composer = Composer(drawings(known) if which == "drawings" else [], crops if which == "crops" else [])
    assert any(scene.faces for scene in composer.scenes(10))


def test_the_same_seed_composes_the_same(known: Path, crops: list[Path]) -> None:
    one, other = (list(islice(Composer(drawings(known), crops, seed=9).scenes(6), 6)) for _ in range(2))
    for a, b in zip(one, other, strict=True):
        assert a.faces == b.faces
        np.testing.assert_array_equal(a.pixels, b.pixels)


def test_no_material_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="Scenes need"):
        Composer([], [])
    with pytest.raises(InvalidInput, match=r"has no manifest\.csv"):
        drawings(tmp_path)
    (tmp_path / "manifest.csv").write_text("path\na.png\n")
    with pytest.raises(InvalidInput, match="lacks the column"):
        drawings(tmp_path)


def test_a_drawing_outside_of_its_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "manifest.csv").write_text("path,faces\n../secret.png,0 0 1 1\n")
    with pytest.raises(InvalidInput, match="leads out of the folder"):
        drawings(tmp_path)
