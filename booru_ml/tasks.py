"""What the plugin's Celery worker runs: the doorbell, and in each of its processes a timer that needs no broker."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Callable
from functools import partial

import billiard
from celery import signals
from django.db import close_old_connections

from booru_ml.broker import app
from booru_ml.pipeline import doorbell, memory
from booru_ml.pipeline.processes import stop_with
from booru_ml.pipeline.worker import SLICE_SECONDS, STOP_SECONDS, Worker


@app.task(name=doorbell.TASK, ignore_result=True)  # type: ignore[untyped-decorator]
def drain() -> int:
    """Works for one slice and rings for what is left."""
    worker = _worker()
    finished = worker.drain(SLICE_SECONDS)
    if finished and worker.ready():
        doorbell.ring()
    close_old_connections()
    return finished


_current: tuple[int, Worker] | None = None
_creating = threading.Lock()


def _worker() -> Worker:
    """The one of this process."""
    global _current
    with _creating:
        if _current is None or _current[0] != os.getpid():
            _current = os.getpid(), Worker(owns_process=True)
        return _current[1]


def _serve() -> None:
    memory.watch()
    threading.Thread(target=_worker().reconcile, name="booru-ml-reconcile", daemon=True).start()


def _child_started(**_: object) -> None:
    """Each prefork child is a worker of its own, whatever its parent and the broker do."""
    if billiard.current_process().name == "MainProcess":
        return  # The solo pool calls itself a child, but its parent is a stranger.
    main = os.getppid()
    # Most signals are billiard's from here on. Its way out waits half a minute for the parent to hear of every task.
    signal.signal(signal.SIGUSR2, partial(_child_told_to_stop, main))
    stop_with(main, signal.SIGUSR2)
    _serve()


def _child_stopping(**_: object) -> None:
    _worker().close()


def _child_told_to_stop(main: int, *_: object) -> None:
    """By the main process, which takes care of the rest, or by its death."""

    def leave() -> None:
        _worker().close()
        os._exit(0)

    _worker().stop.set()
    if os.getppid() == main:
        return
    # The signal may have come in the middle of a batch: it is finished by this thread while another one waits for it.
    threading.Thread(target=leave, daemon=True).start()
    _at_the_latest(STOP_SECONDS + 1, partial(os._exit, 1))  # whatever the leave-taking hangs on


def _main_started(instance: object = None, **_: object) -> None:
    """Pools without children of their own (solo, threads) work in this process, before the broker answers, too."""
    if not _has_children(instance):
        _serve()


def _main_ready(sender: object = None, **_: object) -> None:
    """Celery gives up if a child died before it listened; a bad picture may kill one sooner than the broker answers."""
    if _has_children(sender):
        sender.pool.maintain_pool()  # type: ignore[attr-defined]


def _main_told_to_stop(**_: object) -> None:
    """Celery waits for the running tasks, and a drain is a long one: they are told to end with the batch in work."""
    children = billiard.active_children()
    for child in children:
        with contextlib.suppress(ProcessLookupError):
            os.kill(child.pid, signal.SIGUSR2)
    if not children:
        _worker().stop.set()

    def leave() -> None:
        if not children:
            _worker().close()
        os._exit(0)

    # Celery takes leave of its broker, too, and one that hangs may keep it for ever. Children leave with their parent.
    _at_the_latest(STOP_SECONDS, leave)


def _main_stopping(sender: object = None, **_: object) -> None:
    if not _has_children(sender):
        _worker().close()


def _at_the_latest(seconds: float, leave: Callable[[], None]) -> None:
    last = threading.Timer(seconds, leave)
    last.daemon = True
    last.start()


def _has_children(sender: object) -> bool:
    pool = getattr(sender, "pool", None)
    return "prefork" in type(pool).__module__


signals.worker_process_init.connect(_child_started)
signals.worker_process_shutdown.connect(_child_stopping)
signals.celeryd_after_setup.connect(_main_started)
signals.worker_ready.connect(_main_ready)
signals.worker_shutting_down.connect(_main_told_to_stop)
signals.worker_shutdown.connect(_main_stopping)
