"""Real worker processes on the test's database."""

from __future__ import annotations

import io
import itertools
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.db import connection
from PIL import Image

from booru_ml.models import AnalysisJob
from deploy.demo.board.models import Post
from tests.posts import stored

_numbers = itertools.count()
ROOT = Path(__file__).resolve().parents[2]


class Workers:
    """Starts workers and ends what is left of them."""

    def __init__(self, broker: str, media: Path, logs: Path) -> None:
        self.environment = {
            **os.environ,
            "DJANGO_SETTINGS_MODULE": "tests.flows.settings",
            "FLOW_DATABASE": str(connection.settings_dict["NAME"]),
            "FLOW_MEDIA": str(media),
            "FLOW_BROKER": broker,
            "OMP_NUM_THREADS": "1",
        }
        self.logs = logs
        self.processes: list[subprocess.Popen[bytes]] = []

    def celery(self, *flags: str, processes: int = 1) -> subprocess.Popen[bytes]:
        app = "tests.flows.worker_app"
        return self._start("celery", "-A", app, "worker", "-c", str(processes), "-l", "info", *flags)

    def command(self, *flags: str) -> subprocess.Popen[bytes]:
        return self._start("tests.flows.worker_command", "booru_worker", *flags)

    def _start(self, *command: str) -> subprocess.Popen[bytes]:
        with (self.logs / f"worker-{len(self.processes)}.log").open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", *command],
                env=self.environment,
                cwd=ROOT,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self.processes.append(process)
        return process

    def close(self) -> None:
        for process in self.processes:
            try:
                os.killpg(process.pid, 9)
            except ProcessLookupError:
                continue
            process.wait()
        for log in sorted(self.logs.glob("worker-*.log")):
            print(f"--- {log.name}\n{log.read_text()[-6000:]}")


@pytest.fixture
def start_workers(transactional_db, media, tmp_path) -> Iterator[Callable[[str], Workers]]:
    started: list[Workers] = []

    def start(broker: str) -> Workers:
        started.append(Workers(broker, media, tmp_path))
        return started[-1]

    yield start
    for workers in started:
        workers.close()


@pytest.fixture
def upload(transactional_db, media) -> Callable[..., Post]:
    """A post with a real, small picture of one colour."""

    def save(colour: tuple[int, int, int] | None = None, **fields: Any) -> Post:
        number = next(_numbers)
        buffer = io.BytesIO()
        Image.new("RGB", (16 + number % 50, 16), colour or (0, 255 - number % 200, 0)).save(buffer, "PNG")
        return stored(buffer.getvalue(), **fields)

    return save


def wait_for(condition: Callable[[], bool], seconds: float = 30) -> float:
    """Seconds until ``condition`` held; fails with the state of the queue if it does not."""
    begun = time.monotonic()
    while not condition():
        if time.monotonic() - begun > seconds:
            rows = list(AnalysisJob.objects.unfinished().values_list("pk", "state", "attempts", "code", "message")[:20])
            raise AssertionError(f"still waiting after {seconds} s: {rows}")
        time.sleep(0.05)
    return time.monotonic() - begun


def all_finished() -> bool:
    return not AnalysisJob.objects.unfinished().exists()


def ledger() -> list[int]:
    """Job ids in the order in which their results were stored."""
    return [int(entry) for entry in LogEntry.objects.order_by("pk").values_list("object_id", flat=True)]
