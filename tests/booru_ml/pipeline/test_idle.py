"""What a worker keeps while there is nothing to do, and what its parent never loads."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from django.test.utils import override_settings

from booru_ml.pipeline.worker import Worker
from tests.booru_ml.pipeline.fakes import FakeDecoders, FakeEngine

ROOT = Path(__file__).resolve().parents[3]

# What a Celery main process and the parent of several workers do before they fork or start children.
PARENT = """
import os, sys
os.environ["DJANGO_SETTINGS_MODULE"] = "tests.settings"
from booru_ml.broker import app
app.loader.import_default_modules()
from django.core.management import get_commands, load_command_class
load_command_class("booru_ml", "booru_worker")
from booru_ml.pipeline import processes, worker
from booru_ml.nn import routes
loaded = {"torch", "onnxruntime", "openvino", "faiss"} & set(sys.modules)
sys.exit(f"loaded: {loaded}" if loaded else None)
"""


class Engines:
    """Counts what was built and what was let go."""

    def __init__(self) -> None:
        self.built = self.closed = 0

    def __call__(self) -> FakeEngine:
        self.built += 1
        engine = FakeEngine()
        engine.close = self._close  # type: ignore[method-assign]
        return engine

    def _close(self) -> None:
        self.closed += 1


@pytest.fixture
def engines(monkeypatch: pytest.MonkeyPatch) -> Engines:
    monkeypatch.setattr("booru_ml.conf.sinks", lambda: ())
    return Engines()


def _idle_for(settings, seconds: float):
    return override_settings(BOORU_ML={**settings.BOORU_ML, "IDLE_SECONDS": seconds})


@pytest.mark.django_db(transaction=True)
def test_an_idle_worker_lets_the_networks_go_and_comes_back(upload, settings, engines: Engines) -> None:
    worker = Worker(engine=engines, decoders=FakeDecoders)
    upload()
    assert worker.drain() == 1
    worker.drain()
    assert (engines.built, engines.closed) == (1, 0)  # ten minutes are not over
    with _idle_for(settings, 1e-6):
        worker.drain()
        worker.drain()
    assert engines.closed == 1
    upload()
    assert worker.drain() == 1
    assert engines.built == 2
    assert worker.pictures == 2


@pytest.mark.django_db(transaction=True)
def test_zero_keeps_the_networks_for_good(upload, settings, engines: Engines) -> None:
    worker = Worker(engine=engines, decoders=FakeDecoders)
    upload()
    with _idle_for(settings, 0):
        worker.drain()
        worker.drain()
    assert engines.closed == 0


def test_parents_of_workers_load_no_runtime_and_touch_no_gpu() -> None:
    done = subprocess.run(
        [sys.executable, "-c", PARENT], cwd=ROOT, env=dict(os.environ), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
