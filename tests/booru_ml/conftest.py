from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from deploy.demo.board.models import Post
from tests.posts import stored


@pytest.fixture
def upload(db, media) -> Callable[..., Post]:
    return stored


@pytest.fixture
def rings(monkeypatch) -> list[int]:
    """Counts doorbell rings instead of sending them."""
    heard: list[int] = []
    monkeypatch.setattr("booru_ml.pipeline.doorbell.ring", lambda: heard.append(1))
    return heard


@pytest.fixture(scope="session")
def every_head(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small checkpoint with a head of every kind; tests get copies."""
    from tests.booru_ml.nn import builders

    return builders.every_head(tmp_path_factory.mktemp("checkpoints") / "every-head").path


@pytest.fixture
def checkpoint(every_head: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(every_head, tmp_path / "every-head"))
