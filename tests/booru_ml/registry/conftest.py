from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from django.db.models.functions import Now

from booru_ml import promotions, registry
from booru_ml.checkpoint import Checkpoint, pin
from booru_ml.checkpoint.shelf import Shelf
from booru_ml.conf import CHECKPOINTS
from booru_ml.models import ModelVersion, Promotion
from booru_ml.registry import described


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    return Shelf(tmp_path / "models")


@pytest.fixture
def folder(tmp_path: Path) -> Callable[..., Path]:
    """A sound checkpoint folder with the heads nsfw, rating and medium, like no other."""

    def make(least: float = 0.9, name: str = "candidate") -> Path:
        target = tmp_path / name / str(least) / "nsfwjs"
        shutil.copytree(CHECKPOINTS / "nsfwjs", target)
        (target / "thresholds.csv").write_text(f"threshold\n{least}\n")
        pin(target)
        return target

    return make


@pytest.fixture
def candidate(folder: Callable[..., Path], db: None) -> Callable[..., ModelVersion]:
    """A registered model, as ``booru_model add`` leaves it."""

    def make(least: float = 0.9) -> ModelVersion:
        return ModelVersion.objects.create(**described(Checkpoint.read(folder(least))), verified_at=Now())

    return make


@pytest.fixture
def unheard(monkeypatch: pytest.MonkeyPatch) -> Callable[[ModelVersion], Promotion]:
    """Promotes as another process does: this one trusts what it knows for a moment longer."""

    def promote(new: ModelVersion) -> Promotion:
        monkeypatch.setattr(registry, "LOOK_SECONDS", 60.0)
        registry.forget()
        registry.wanted()
        known = registry._known
        row = promotions.promote(version=new.version)
        monkeypatch.setattr(registry, "_known", known)
        return row

    return promote
