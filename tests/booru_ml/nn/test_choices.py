"""Measured choices on disk: what they hold for, and what damage does."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from booru_ml.checkpoint import Checkpoint
from booru_ml.conf import CHECKPOINTS
from booru_ml.nn.routes import machine
from booru_ml.nn.routes.choices import Choice, Choices, Place

CHOICE = Choice(route="openvino", milliseconds={"onnx": 14.0, "openvino": 9.5}, refused={"openvino-bf16": "far off"})


@pytest.fixture
def place() -> Place:
    return Place.here(Checkpoint.load(CHECKPOINTS / "nsfwjs"), device="cpu", threads=1, batch_size=16)


def test_a_choice_is_remembered(tmp_path: Path, place: Place) -> None:
    Choices(tmp_path).write(place, CHOICE)
    assert Choices(tmp_path).read(place) == CHOICE
    assert [path.suffix for path in (tmp_path / "routes").iterdir()] == [".json"]


@pytest.mark.parametrize(
    "other",
    [
        {"weights": "0" * 64},
        {"device": "another processor"},
        {"threads": 2},
        {"batch_size": 4},
        {"versions": {"onnxruntime": "0.0"}},
    ],
)
def test_what_was_measured_elsewhere_does_not_count(tmp_path: Path, place: Place, other: dict[str, object]) -> None:
    Choices(tmp_path).write(place, CHOICE)
    assert Choices(tmp_path).read(replace(place, **other)) is None


@pytest.mark.parametrize(
    "damage", [b"", b"{", b"[]", b"null", b"\xff\xfe", b'{"choice": {}}', b'{"choice": {"route": 3}}']
)
def test_a_damaged_file_was_not_measured(tmp_path: Path, place: Place, damage: bytes) -> None:
    choices = Choices(tmp_path)
    choices.write(place, CHOICE)
    (file,) = (tmp_path / "routes").glob("*.json")
    file.write_bytes(damage)
    assert choices.read(place) is None
    choices.write(place, CHOICE)
    assert choices.read(place) == CHOICE


def test_a_write_that_fails_leaves_what_was_there(
    tmp_path: Path, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    choices = Choices(tmp_path)
    choices.write(place, CHOICE)

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space"):
        choices.write(place, replace(CHOICE, route="torch"))
    assert choices.read(place) == CHOICE
    assert len(list((tmp_path / "routes").iterdir())) == 1


def test_the_cache_is_the_users(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert machine.user_cache() == tmp_path / "booru-ml"
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert machine.user_cache() == tmp_path / ".cache" / "booru-ml"
    monkeypatch.setattr(Path, "home", classmethod(_homeless))
    assert machine.user_cache().name == f"booru-ml-{os.getuid()}"


def _homeless(cls: type[Path]) -> Path:
    """As for a user id that no passwd file knows, in a container."""
    raise RuntimeError("Could not determine home directory.")
