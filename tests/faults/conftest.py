"""Faults are injected into real workers, brokers and databases. The short form is part of ``make test``;
``make faults`` runs all of it (``FAULTS=long``) with the periods that ship."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.db import connection

from tests.faults import report
from tests.faults.crew import Crew
from tests.faults.trial import Trial
from tests.faults.uploads import Uploads
from tests.flows.board import uploader
from tests.servers import EmbeddedPostgres, EmbeddedRedis

LONG = os.environ.get("FAULTS") == "long"
HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.faults)
            item.add_marker(pytest.mark.timeout(600 if LONG else 180))
            if not LONG and item.get_closest_marker("long"):
                item.add_marker(pytest.mark.skip(reason="long: make faults runs it"))


def pytest_terminal_summary(terminalreporter: Any) -> None:
    if report.kept:
        terminalreporter.section("faults")
        terminalreporter.write_line(report.table(report.kept))


@pytest.fixture
def server(tmp_path: Path) -> Iterator[EmbeddedRedis]:
    """A Redis of this test's own, to be hurt."""
    with EmbeddedRedis(tmp_path) as server:
        yield server


@pytest.fixture
def broker(server: EmbeddedRedis, settings: Any) -> str:
    short = {} if LONG else {"RECONCILE_SECONDS": 1.0}
    settings.BOORU_ML = {**settings.BOORU_ML, "BROKER_URL": server.url, **short}
    return server.url


@pytest.fixture
def postgres(transactional_db: None) -> Iterator[EmbeddedPostgres]:
    """The server of this run's database, to be hurt; only where it is one of ours."""
    if connection.vendor != "postgresql" or os.environ.get("TEST_POSTGRES_URL"):
        pytest.skip("needs the embedded PostgreSQL: python -m tests.postgres pytest tests/faults")
    with connection.cursor() as cursor:
        cursor.execute("SHOW data_directory")
        folder = Path(cursor.fetchone()[0])
    server = EmbeddedPostgres(folder)
    yield server
    connection.close()
    server.start()


@pytest.fixture
def crew(transactional_db: None, broker: str, media: Path, tmp_path: Path) -> Iterator[Crew]:
    crew = Crew(broker, media, tmp_path)
    yield crew
    crew.close()


@pytest.fixture
def uploads(transactional_db: None, media: Path) -> Uploads:
    return Uploads(uploader("ann"))


@pytest.fixture
def trial(uploads: Uploads) -> Callable[..., Trial]:
    def start(fault: str, injected: str, **how: Any) -> Trial:
        return Trial(uploads, fault, injected, **how)

    return start
