"""Processes of a measurement do not outlive it."""

from __future__ import annotations

import multiprocessing
import os
import time
from pathlib import Path
from typing import Any

from booru_ml.benchmarks.workers import Forked
from tests.booru_ml.images.test_guard import wait_until_gone


class Sleeper(Forked):
    def serve(self) -> None:
        time.sleep(60)


def killed(log: Path, pipe: Any) -> None:
    with Sleeper(log) as sleeper:
        pipe.send(sleeper.pid)
        os.kill(os.getpid(), 9)


def test_a_measurement_that_is_killed_takes_its_processes_along(tmp_path: Path) -> None:
    ours, theirs = multiprocessing.Pipe()
    measurement = multiprocessing.get_context("fork").Process(target=killed, args=(tmp_path / "log", theirs))
    measurement.start()
    pid = ours.recv()
    measurement.join(10)
    assert measurement.exitcode == -9
    assert wait_until_gone(pid)
