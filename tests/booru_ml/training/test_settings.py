"""Settings of a training, and the recipes of the papers."""

from __future__ import annotations

import pytest

from booru_ml.errors import InvalidInput
from booru_ml.training.architectures import PAPERS, from_name
from booru_ml.training.settings import Settings, recipe, recipes
from booru_ml.training.tasks import TASKS

pytestmark = pytest.mark.torch


def test_every_recipe_is_one_that_the_command_takes() -> None:
    assert recipes() == ["aniwho", "artist-pixiv", "dafre", "sketch-quality"]
    for name in recipes():
        said = recipe(name)
        assert set(said.tasks) <= set(TASKS)
        assert sum(Settings().with_(said.settings).shares) == pytest.approx(1)
    named = {
        name: from_name(name, size=32).architecture
        for name in ("ResNet-14", "Conv2D", "ResNet-18", "EfficientNet_Lite0")
    }
    assert named == {
        "ResNet-14": "resnet18",
        "Conv2D": "conv2d_2layer",
        "ResNet-18": "resnet18",
        "EfficientNet_Lite0": "efficientnet_lite0",  # timm's own name means timm's own network
    }
    assert len(PAPERS) == 12


def test_settings_say_what_is_wrong() -> None:
    with pytest.raises(InvalidInput, match="schedule is one of"):
        Settings(schedule="never")
    with pytest.raises(InvalidInput, match="no setting speed"):
        Settings().with_({"speed": 1})
    for wrong in ({"rate": float("nan")}, {"weight_decay": -1.0}, {"patience": -1}, {"hidden": (64, 0)}, {"seed": -7}):
        with pytest.raises(InvalidInput, match=f"{next(iter(wrong))} lies between"):
            Settings().with_(wrong)
    for shares in ((0.5, 0.2, 0.2), (1.2, -0.2, 0.0), (0.0, 0.5, 0.5), (float("nan"), 0.1, 0.2), (0.9, 0.1)):
        with pytest.raises(InvalidInput, match="add up to 1"):
            Settings(shares=shares)
    with pytest.raises(InvalidInput, match="tile is 16 pixels or more"):
        Settings(tile=1)
