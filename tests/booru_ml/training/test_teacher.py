"""``booru_train encoder --teacher``: an encoder that learns from another one."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from django.core.management import CommandError

from booru_ml.checkpoint import Checkpoint
from booru_ml.nn import network
from booru_ml.training.architectures import from_checkpoint, from_name
from booru_ml.training.pictures import augmentation
from booru_ml.training.teacher import Copying, Teacher
from tests.booru_ml.training import pictures
from tests.booru_ml.training.commands import train

pytestmark = pytest.mark.torch

QUICK = ("--size", 32, "--batch", 6, "--device", "cpu", "--schedule", "constant", "--optimiser", "sgd", "--ema", 0)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return pictures.folder(tmp_path_factory.mktemp("set") / "drawn")


@pytest.fixture(scope="module")
def taught(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("taught") / "master"
    train("encoder", data, *QUICK, "--arch", "conv2d", "--augment", "none", "--epochs", 2, "--out", out)
    return out


def test_a_pupil_that_begins_as_its_teacher_has_nothing_to_learn(taught: Path) -> None:
    checkpoint = Checkpoint.load(taught)
    start = from_checkpoint(checkpoint, size=32)
    teacher = Teacher(checkpoint, start)
    pixels = torch.rand(4, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        own = network.load(checkpoint)(pixels)["embedding"]
        assert torch.allclose(teacher(pixels), own, atol=1e-6)


def test_the_matrix_of_a_pupil_that_begins_as_its_teacher_is_the_teachers() -> None:
    """Of the shipped encoder, whose embedding is whitened."""
    from booru_ml.conf import CHECKPOINTS

    checkpoint = Checkpoint.load(CHECKPOINTS / "booru-lite")
    start = from_checkpoint(checkpoint, size=64)
    teacher = Teacher(checkpoint, start)
    pixels = torch.rand(4, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        features = teacher.backbone.features(pixels).pooled
        assert float(Copying(features.shape[1], teacher)(features, teacher(pixels))) == pytest.approx(0, abs=1e-5)
        stranger = Teacher(checkpoint, replace(start, origin="somebody else"))
        assert float(Copying(features.shape[1], stranger)(features, stranger(pixels))) > 0.3


def test_a_teacher_sees_pictures_in_its_own_way(taught: Path) -> None:
    """Other statistics, and channels from blue to red."""
    checkpoint = Checkpoint.load(taught)
    start = from_checkpoint(checkpoint, size=32)
    other = replace(checkpoint.preprocess, mean=(0.1, 0.2, 0.3), std=(0.2, 0.3, 0.4), channels="BGR")
    plain = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    given = (plain - 0.5) / 0.5
    mean, std = (torch.tensor(one).view(3, 1, 1) for one in (other.mean, other.std))
    with torch.no_grad():
        wanted = network.load(checkpoint)((plain.flip(1) - mean) / std)["embedding"]
        found = Teacher(replace(checkpoint, preprocess=other), start)(given)
    assert torch.allclose(found, wanted, atol=1e-5)


def test_pairs_show_one_part_twice() -> None:
    torch.manual_seed(0)
    pixels = torch.randint(0, 256, (3, 48, 48), dtype=torch.uint8)
    found = {}
    for name in ("light", "sketch"):
        vary = augmentation(name, 32, (0.5,) * 3, (0.5,) * 3, pairs=True)
        found[name] = [vary(pixels) for _ in range(60)]
        assert {tuple(one.shape) for one in found[name]} == {(2, 3, 32, 32)}
    assert all(torch.equal(plain, varied) for plain, varied in found["light"]), "which varies places only"
    assert len({float(plain.sum()) for plain, _ in found["light"]}) > 50
    same = sum(torch.equal(plain, varied) for plain, varied in found["sketch"])
    assert 0 < same < 30, "which varies colours, too, but not always"


def test_a_pupil_learns_what_its_teacher_says_and_can_be_cut_off(data: Path, taught: Path, tmp_path: Path) -> None:
    out = tmp_path / "pupil"
    said = train(
        *("encoder", data, *QUICK, "--arch", "shallownet", "--augment", "sketch", "--rate", 0.1),
        *("--backbone-rate", 0.1, "--epochs", 6, "--teacher", taught, "--out", out),
    )
    losses = [float(line.split()[-1]) for line in said.splitlines() if line.startswith("epoch")]
    assert len(losses) == 6
    assert losses[-1] < losses[0] / 2
    checkpoint = Checkpoint.load(out)
    assert set(checkpoint.heads) == {"embedding"}, "the matrix is thrown away"
    assert f"to say what {Checkpoint.load(taught).version} says" in (out / "card.md").read_text()
    noted = json.loads((tmp_path / "pupil.run" / "settings.json").read_text())
    assert noted["teacher"] == Checkpoint.load(taught).version
    state = torch.load(tmp_path / "pupil.run" / "state.pt", weights_only=True)
    assert not any("teacher" in name for name in state["learner"])
    with pytest.raises(CommandError, match="differs in teacher"):
        train(
            *("encoder", data, *QUICK, "--arch", "shallownet", "--augment", "sketch", "--rate", 0.1),
            *("--backbone-rate", 0.1, "--epochs", 6, "--out", out),
        )


def test_a_teacher_does_without_names(taught: Path, tmp_path: Path) -> None:
    pictures.folder(tmp_path / "one", characters=1)
    words = ("encoder", tmp_path / "one", *QUICK, "--arch", "conv2d", "--augment", "light", "--epochs", 1)
    with pytest.raises(CommandError, match="two classes or more; only a --teacher does without"):
        train(*words, "--out", tmp_path / "named")
    train(*words, "--teacher", taught, "--out", tmp_path / "copied")
    assert Checkpoint.load(tmp_path / "copied").heads["embedding"].dim == 16


def test_a_checkpoint_without_an_embedding_teaches_nobody(data: Path, tmp_path: Path) -> None:
    from booru_ml.conf import CHECKPOINTS

    with pytest.raises(CommandError, match=r"nsfwjs@\w+ has no embedding to teach"):
        train(
            *("encoder", data, *QUICK, "--arch", "conv2d", "--teacher", CHECKPOINTS / "nsfwjs"),
            *("--out", tmp_path / "pupil"),
        )


def test_a_network_of_one_size_teaches_pupils_of_another(data: Path, tmp_path: Path) -> None:
    out = tmp_path / "fixed"
    train(*("encoder", data, *QUICK, "--arch", "vit_tiny_patch16_224", "--size", 64), *("--epochs", 1, "--out", out))
    teacher = Teacher(Checkpoint.load(out), from_name("conv2d", size=32))
    assert teacher(torch.rand(2, 3, 32, 32)).shape == (2, 192)
