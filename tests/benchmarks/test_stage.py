from __future__ import annotations

from pathlib import Path

import pytest

from booru_ml.benchmarks.stage import stage
from booru_ml.checkpoint import Checkpoint
from booru_ml.conf import CHECKPOINTS, config
from booru_ml.nn.routes import choices_in
from booru_ml.nn.routes.choices import Choice, Place
from embeddings import upkeep
from embeddings.similar import Space

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.redis]


def test_indexes_go_with_the_board_and_the_measured_routes_are_the_machines(settings, tmp_path: Path) -> None:
    settings.BOORU_ML = {**settings.BOORU_ML, "CACHE_DIR": str(tmp_path)}
    place = Place.here(Checkpoint.load(CHECKPOINTS / "nsfwjs"), device="cpu", threads=1, batch_size=16)
    choice = Choice(route="openvino")
    choices_in(tmp_path).write(place, choice)
    with stage() as folder:
        assert upkeep.path_of(Space("m@1", "picture")).is_relative_to(folder)
        assert choices_in(config().CACHE_DIR).read(place) == choice
    assert [path.name for path in tmp_path.iterdir()] == ["routes"]
    assert choices_in(tmp_path).read(place) == choice  # what is cleared up is the way there


def test_a_machine_without_measured_routes_has_a_stage_all_the_same(settings, tmp_path: Path) -> None:
    settings.BOORU_ML = {**settings.BOORU_ML, "CACHE_DIR": str(tmp_path / "none")}
    place = Place.here(Checkpoint.load(CHECKPOINTS / "nsfwjs"), device="cpu", threads=1, batch_size=16)
    with stage():
        assert choices_in(config().CACHE_DIR).read(place) is None
