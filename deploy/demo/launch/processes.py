"""Child processes of the demo: started with a log file each, watched, and stopped in the end whatever happens."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

ROOT = Path(__file__).resolve().parents[3]
STOP_SECONDS = 12.0
LOG_LINES = 15


class ChildDied(Exception):
    """A process that has to run has ended; the message names it and quotes the end of its log."""


@dataclass(frozen=True, slots=True)
class Child:
    name: str
    process: subprocess.Popen[bytes]
    log: Path


class Processes:
    """Children in sessions of their own: the terminal's Ctrl-C reaches the demo only, which stops them in order."""

    def __init__(self, logs: Path) -> None:
        self.logs = logs
        self.children: list[Child] = []

    def start(self, name: str, command: Sequence[str], env: Mapping[str, str] | None = None) -> Child:
        self.logs.mkdir(parents=True, exist_ok=True)
        log = self.logs / f"{name.split()[0]}.log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", "deploy.demo.launch.child", *command],
                cwd=ROOT,
                env={**os.environ, **(env or {}), "BOORU_DEMO_PARENT": str(os.getpid())},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        child = Child(name, process, log)
        self.children.append(child)
        return child

    def check(self) -> None:
        """Raises ``ChildDied`` if one has ended."""
        for child in self.children:
            code = child.process.poll()
            if code is not None:
                how = f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
                raise ChildDied(f"The {child.name} {how}. The end of {child.log}:\n{tail(child.log)}")

    def stop(self) -> list[str]:
        """Ends all children, the latest first; returns the names of those that had to be killed."""
        killed = []
        for child in reversed(self.children):
            _signal(child, signal.SIGTERM)
        deadline = time.monotonic() + STOP_SECONDS
        for child in reversed(self.children):
            try:
                child.process.wait(max(0.1, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                killed.append(child.name)
            # Whatever the child left behind in its session goes with it.
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(child.process.pid, signal.SIGKILL)
            child.process.wait()
        self.children.clear()
        return killed

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def _signal(child: Child, number: signal.Signals) -> None:
    if child.process.poll() is None:
        with contextlib.suppress(ProcessLookupError):
            child.process.send_signal(number)


def tail(log: Path, lines: int = LOG_LINES) -> str:
    """The last lines of a log file, indented."""
    try:
        text = log.read_text(errors="replace").splitlines()[-lines:]
    except FileNotFoundError:
        text = []
    return "\n".join(f"    {line[:400]}" for line in text) or "    (the log is empty)"


def is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def free_port(wanted: int = 0, *, tries: int = 50) -> int:
    """``wanted`` or the next free port after it; 0 lets the system choose. Raises ``OSError`` if none is free."""
    for port in range(wanted, min(wanted + tries, 65_536)) if wanted else ():
        if is_free(port):
            return port
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
