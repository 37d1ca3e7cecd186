"""What the plugin's Celery worker runs: the doorbell, and a timer that needs no broker."""

from __future__ import annotations

import signal
import threading

from celery import signals

from booru_ml.broker import app
from booru_ml.pipeline import worker
from booru_ml.pipeline.doorbell import TASK

SLICE_SECONDS = 5.0
"""A task ends after this long, so that a stopping Celery never waits for a long queue; the rest is rung for anew."""


@app.task(name=TASK, ignore_result=True)
def drain() -> int:
    return worker.drain_slice(SLICE_SECONDS)


@signals.worker_process_init.connect
def _child_started(**_: object) -> None:
    """In each prefork child."""
    signal.signal(signal.SIGTERM, lambda *_: worker.current().stop.set())
    threading.Thread(target=worker.current().reconcile, name="booru-ml-reconcile", daemon=True).start()


@signals.worker_process_shutdown.connect
def _child_stopping(**_: object) -> None:
    worker.current().close()


@signals.worker_ready.connect
def _main_ready(sender: object = None, **_: object) -> None:
    """Pools without children of their own (solo, threads) work in this process."""
    if "prefork" not in type(getattr(sender, "pool", None)).__module__:
        threading.Thread(target=worker.current().reconcile, name="booru-ml-reconcile", daemon=True).start()


@signals.worker_shutdown.connect
def _main_stopping(**_: object) -> None:
    worker.current().close()
