from __future__ import annotations

import itertools
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.core.files.base import ContentFile

from deploy.demo.board.models import Post

_numbers = itertools.count()


@pytest.fixture
def upload(db, media) -> Callable[..., Post]:
    """Saves a post as the board does, with a file of any bytes."""

    def save(data: bytes | None = None, **fields: Any) -> Post:
        number = next(_numbers)
        data = b"picture %d" % number if data is None else data
        uploader, _ = get_user_model().objects.get_or_create(username="uploader")
        return Post.objects.create(
            picture=ContentFile(data, name=f"{number}.png"),
            sha256=f"{number:064x}",
            md5=f"{number:032x}",
            uploader=uploader,
            **fields,
        )

    return save


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
