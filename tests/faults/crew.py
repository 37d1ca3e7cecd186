"""Real workers, and where to hit them."""

from __future__ import annotations

import contextlib
import json
import os
import resource
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil

from booru_ml.models import Worker
from tests.flows.conftest import Workers

DECODER = "booru_ml.pipeline.images.child"


class Crew(Workers):
    """Celery workers and ``booru_worker`` processes with the ``cheap`` engine or the ``shipped`` checkpoints."""

    def __init__(self, broker: str, media: Path, logs: Path) -> None:
        super().__init__(broker, media, logs)
        self.met: set[psutil.Process] = set()
        self.quiet = False
        self.environment |= {"DJANGO_SETTINGS_MODULE": "tests.faults.settings", "FAULT_ENGINE": "cheap"}

    def use(self, *, engine: str = "cheap", clock: float = 0, **setting: Any) -> None:
        """What workers started from now on work with; ``setting``: keys of ``BOORU_ML``."""
        self.environment |= {"FAULT_ENGINE": engine, "FAULT_CLOCK": str(clock), "FAULT_SETTING": json.dumps(setting)}

    def celery(self, *flags: str, processes: int = 2) -> subprocess.Popen[bytes]:
        app = "booru_ml.broker" if self.environment["FAULT_ENGINE"] == "untouched" else "tests.faults.worker_app"
        return self._start("celery", "-A", app, "worker", "-c", str(processes), "-l", "info", *flags)

    def command(self, *flags: str) -> subprocess.Popen[bytes]:
        if self.environment["FAULT_ENGINE"] == "untouched":
            return self._start("manage", "booru_worker", *flags)
        return self._start("tests.faults.worker_command", "booru_worker", *flags)

    @property
    def mains(self) -> list[psutil.Process]:
        return [psutil.Process(process.pid) for process in self.processes if process.poll() is None]

    @property
    def everyone(self) -> list[psutil.Process]:
        """Every process that the workers started, and they themselves."""
        found: list[psutil.Process] = []
        for main in self.mains:
            with contextlib.suppress(psutil.NoSuchProcess):
                found += [main, *main.children(recursive=True)]
        return found

    @property
    def decoders(self) -> list[psutil.Process]:
        """The warm decoding processes."""
        found = {one.pid: one for one in self.everyone if DECODER in " ".join(_command(one))}
        return [one for one in found.values() if _parent(one) not in found]

    @staticmethod
    def lasting(main: int) -> set[psutil.Process]:
        """A worker and its children, without those that are there to be used up."""
        process = psutil.Process(main)
        return {process, *(one for one in process.children() if DECODER not in " ".join(_command(one)))}

    def fork(self, seconds: float = 10) -> int:
        """The process id of one that decodes a picture at this very moment."""
        patience = time.monotonic() + seconds
        while time.monotonic() < patience:
            for decoder in self.decoders:
                for _ in range(200):
                    listed = Path(f"/proc/{decoder.pid}/task/{decoder.pid}/children")
                    for pid in listed.read_text().split() if listed.exists() else ():
                        if psutil.Process(int(pid)).status() in (psutil.STATUS_RUNNING, psutil.STATUS_SLEEPING):
                            return int(pid)
        raise AssertionError("no picture is being decoded")

    @staticmethod
    def workers() -> list[int]:
        """Process ids of those that drain, by their own account."""
        return [int(name.rsplit(":", 1)[1]) for name in Worker.objects.alive().values_list("name", flat=True)]

    def kill(self, *pids: int) -> None:
        self.met |= set(self.everyone)
        for pid in pids:
            os.kill(pid, signal.SIGKILL)

    def starve(self) -> Callable[[], None]:
        """The kernel gives those that drain no byte more, until the answer is called."""
        hungry = [pid for pid in self.workers() if psutil.pid_exists(pid)]
        for pid in hungry:
            enough = psutil.Process(pid).memory_info().vms
            resource.prlimit(pid, resource.RLIMIT_AS, (enough, resource.RLIM_INFINITY))

        def feed() -> None:
            for pid in filter(psutil.pid_exists, hungry):
                resource.prlimit(pid, resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))

        return feed

    def kill_all(self) -> None:
        """The whole worker at once, as the machine's end would."""
        self.met |= set(self.everyone)
        for main in self.mains:
            os.killpg(main.pid, signal.SIGKILL)
        for process in self.processes:
            process.wait()

    def signal_all(self, number: signal.Signals) -> None:
        for one in self.everyone:
            one.send_signal(number)

    def close(self) -> None:
        self.met |= set(self.everyone)
        with contextlib.redirect_stdout(None) if self.quiet else contextlib.nullcontext():
            super().close()
        for one in self.met:
            try:
                one.kill()
            except psutil.NoSuchProcess:
                continue


def _parent(process: psutil.Process) -> int:
    try:
        return int(process.ppid())
    except psutil.NoSuchProcess:
        return 0


def _command(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except (psutil.NoSuchProcess, psutil.ZombieProcess):
        return []
