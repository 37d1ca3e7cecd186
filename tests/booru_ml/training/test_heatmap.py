"""The face head learns where faces are, and figures count every face once."""

from __future__ import annotations

import numpy as np
import pytest

from booru_ml.errors import InvalidInput
from booru_ml.types import Box

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.torch

from booru_ml.checkpoint.heads import Head, HeadKind  # noqa: E402
from booru_ml.nn.faces import read_heatmaps  # noqa: E402
from booru_ml.nn.heads import Heatmap  # noqa: E402
from booru_ml.training import heatmap  # noqa: E402
from booru_ml.training.heatmap import CHANNELS, Recipe, Scenes  # noqa: E402

FACE = Box(0.25, 0.5, 0.25, 0.375)


def lit(count: int, seed: int = 0) -> Scenes:
    """Maps whose first channel is bright over the one face of each scene."""
    random = np.random.default_rng(seed)
    maps = torch.from_numpy(random.normal(0, 0.1, (count, 3, 16, 16)).astype(np.float32))
    faces = []
    for number in range(count):
        row, column, size = (int(value) for value in random.integers((0, 0, 4), (8, 8, 8)))
        maps[number, 0, row : row + size, column : column + size] += 2
        faces.append((Box(column / 16, row / 16, size / 16, size / 16),))
    return Scenes((maps.half(),), tuple(faces))


def test_targets_are_read_back_as_the_same_faces() -> None:
    wanted = heatmap.targets([[FACE, Box(0.7, 0.1, 0.2, 0.2)], []], 16, 16).numpy()
    maps = np.stack([np.log(wanted[:, 0] + 1e-6), wanted[:, 1], wanted[:, 2]], axis=1)
    found = read_heatmaps(maps.astype(np.float32), threshold=0.4)
    assert heatmap.measure(found, [[FACE, Box(0.7, 0.1, 0.2, 0.2)], []], least=0.7).recall == 1
    assert found[1] == []


def test_the_smaller_of_two_faces_keeps_its_size() -> None:
    small = Box(0.45, 0.45, 0.1, 0.1)
    wanted = heatmap.targets([[Box(0.1, 0.1, 0.8, 0.8), small]], 16, 16)
    assert float(wanted[0, 1, 8, 8]) == pytest.approx(np.log(1.6), abs=1e-5)


def test_a_head_learns_to_find_faces() -> None:
    torch.manual_seed(0)
    head = Heatmap(Head("faces", HeadKind.HEATMAP, stages=(0,), hidden=(12, 12), channels=CHANNELS, kernel=5), {0: 3})
    heatmap.fit(head, lit(96), recipe=Recipe(epochs=25, batch=16))
    strange = lit(30, seed=1)
    found = heatmap.measure(heatmap.detect(head, strange, threshold=0.3), strange.faces)
    assert found.recall > 0.8
    assert found.precision > 0.7


def test_a_face_is_found_once() -> None:
    found = heatmap.measure([[(FACE, 0.9), (FACE, 0.8)], [(FACE, 0.7)]], [[FACE], []])
    assert (found.faces, found.recall, found.precision) == (1, 1, pytest.approx(1 / 3))
    assert str(found).startswith("recall 1.000  precision 0.333")


def test_the_best_threshold_leaves_doubts_out() -> None:
    elsewhere = Box(0.8, 0.8, 0.1, 0.1)
    assert heatmap.best_threshold([[(FACE, 0.6), (elsewhere, 0.32)]], [[FACE]]) == 0.35


def test_scenes_without_their_faces_are_refused() -> None:
    with pytest.raises(InvalidInput):
        Scenes((torch.zeros(2, 1, 4, 4),), ((),))
