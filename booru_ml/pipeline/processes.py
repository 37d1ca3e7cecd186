"""Several worker processes under one parent that touches neither database nor networks."""

from __future__ import annotations

import ctypes
import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from booru_ml.pipeline import memory

logger = logging.getLogger(__name__)

LAUNCHER = ("-m", "django")
STOP_SECONDS = 12.0
POLL_SECONDS = 0.1
PAUSE_SECONDS = 1.0
"""Before a process is started where two died young, one after the other."""
YOUNG_SECONDS = 10.0
_PR_SET_PDEATHSIG = 1


def keep_running(command: Sequence[str], processes: int, *, forever: bool) -> int:
    """Runs the management ``command`` in ``processes`` processes and replaces those that were killed or ran out of
    memory, with ``forever`` those that ended by themselves, too. Returns when all have ended or this process is told to
    stop: 0 if all is well.
    """
    stopping = False

    def stop(*_: object) -> None:
        nonlocal stopping
        stopping = True

    when_told_to_stop(stop)
    running = {_start(command): time.monotonic() for _ in range(processes)}
    missing = worst = young = 0
    while (running or missing) and not stopping:
        time.sleep(POLL_SECONDS)
        for child in [child for child in running if child.poll() is not None]:
            young = young + 1 if time.monotonic() - running.pop(child) < YOUNG_SECONDS else 0
            if forever or child.returncode < 0 or child.returncode == memory.EXIT_STATUS:
                logger.warning("worker process %d ended (%d), starting another", child.pid, child.returncode)
                missing += 1
            else:
                worst = max(worst, child.returncode)
        if missing:
            if young > 1:
                time.sleep(PAUSE_SECONDS)
            try:
                running[_start(command)] = time.monotonic()
                missing -= 1
            except (OSError, MemoryError) as error:
                logger.warning("no process could be started, trying again: %r", error)
                young = 2
    for child in running:
        child.terminate()
    patience = time.monotonic() + STOP_SECONDS
    for child in running:
        try:
            code = child.wait(max(0.1, patience - time.monotonic()))
            worst = max(worst, 0 if code == -signal.SIGTERM else abs(code))  # one that only began ends by the signal
        except subprocess.TimeoutExpired:
            child.kill()
            worst = 1
    return worst


def when_told_to_stop(stop: Callable[..., None]) -> None:
    """Calls ``stop`` on SIGTERM, on Ctrl-C, and when the terminal is closed unless ``nohup`` says to outlive it."""
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, stop)


def _start(command: Sequence[str]) -> subprocess.Popen[bytes]:
    # A session of its own, so that Ctrl-C reaches the children once: from here.
    settings = os.environ["DJANGO_SETTINGS_MODULE"]
    return subprocess.Popen(
        [sys.executable, *LAUNCHER, *command, "--settings", settings, "--pythonpath", str(Path.cwd())],
        start_new_session=True,
        preexec_fn=partial(stop_with, os.getpid()),
    )


def stop_with(parent: int, number: signal.Signals = signal.SIGTERM) -> None:
    """In the child: a parent that is killed takes it along, or whoever starts the parent anew would have both."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, number, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(1)
