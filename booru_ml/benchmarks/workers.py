"""Processes of a measurement: forked, so that they have its settings and its database."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

from django.core.management.base import CommandError
from django.db import connections

from booru_ml.benchmarks import tree
from booru_ml.benchmarks.limit import cores
from booru_ml.pipeline.processes import stop_with

STOP_SECONDS = 15


class Forked(ABC):
    """A process in a session of its own, and what it starts. A context manager."""

    def __init__(self, log: Path) -> None:
        self._log = log
        self._process: Any = None

    @abstractmethod
    def serve(self) -> None:
        """What the process does, until it is told to end."""

    @property
    def pid(self) -> int:
        return int(self._process.pid)

    def check(self) -> None:
        """Raises ``CommandError`` with the end of the log where the process has died."""
        if not self._process.is_alive():
            raise CommandError(f"A process of the measurement ended: {self._log.read_text()[-2000:]}")

    def sleep(self) -> None:
        """Stands still, so that others have the queue to themselves."""
        os.killpg(self.pid, signal.SIGSTOP)

    def wake(self) -> None:
        os.killpg(self.pid, signal.SIGCONT)

    def cpu_seconds(self) -> float:
        return tree.cpu_seconds(self.pid)

    def pss_mib(self) -> float:
        return tree.pss_mib(self.pid)

    def __enter__(self) -> Self:
        connections.close_all()
        self._process = multiprocessing.get_context("fork").Process(target=self._run, args=(os.getpid(),))
        self._process.start()
        while os.getpgid(self.pid) != self.pid and self._process.is_alive():
            time.sleep(0.01)
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(ProcessLookupError):
            self.wake()
        self._process.terminate()
        self._process.join(STOP_SECONDS)
        if self._process.is_alive():
            os.killpg(self.pid, signal.SIGKILL)
            self._process.join()

    def _run(self, parent: int) -> None:
        stop_with(parent)
        os.setsid()
        with self._log.open("ab", buffering=0) as log:
            os.dup2(log.fileno(), 1)
            os.dup2(log.fileno(), 2)
        self.serve()


class CeleryWorkers(Forked):
    """A Celery main process with one child per core, of the app that ``find_app`` gives."""

    def __init__(self, find_app: Callable[[], Any], log: Path, *, queue: str) -> None:
        super().__init__(log)
        self._find_app, self._queue = find_app, queue

    def serve(self) -> None:
        arguments = ["worker", "-c", str(cores()), "-Q", self._queue, "-l", "warning"]
        arguments += ["--without-gossip", "--without-mingle"]
        # Celery starts its children anew from what it finds here.
        sys.argv = ["celery", *arguments]
        self._find_app().worker_main(arguments)
