"""Wakes a worker. A ring is a hint that may be lost: the job row is the truth, and workers look by themselves too."""

from __future__ import annotations

import _thread
import logging
import os
import threading
import time
from typing import Any

from booru_ml.conf import config
from booru_ml.errors import Unavailable
from booru_ml.metrics import DOORBELL_FAILURES, DOORBELL_RINGS
from booru_ml.transport import TIMEOUT_SECONDS, patience

logger = logging.getLogger(__name__)

TASK = "booru_ml.drain"
PAUSE_SECONDS = 0.05
"""Least time between two messages of one process: one is enough for any number of uploads in between."""
FAILED_PAUSE_SECONDS = 1.0
"""The same while the broker takes none, so that a web process does not spend itself on trying."""


class Doorbell:
    """A daemon thread that talks to the broker, so that nobody who rings ever waits for it."""

    def __init__(self) -> None:
        self._rung = threading.Event()
        self._starting = threading.Lock()
        self._thread: int | None = None
        self._connection: Any = None

    def ring(self) -> None:
        self._rung.set()
        if self._thread is None and self._starting.acquire(blocking=False):
            try:
                if self._thread is None:  # still: another may have started it since
                    # Not by way of ``threading``, which waits for the thread to begin: without end where memory is
                    # short.
                    self._thread = _thread.start_new_thread(self._serve, ())
            except (RuntimeError, MemoryError):
                DOORBELL_FAILURES.inc()
                logger.warning("no thread for the doorbell; workers will find the job by themselves")
            finally:
                self._starting.release()

    def _serve(self) -> None:
        while True:
            self._rung.wait()
            self._rung.clear()
            pause = PAUSE_SECONDS
            try:
                self._publish()
                DOORBELL_RINGS.inc()
            except Exception as error:
                pause = FAILED_PAUSE_SECONDS
                DOORBELL_FAILURES.inc()
                logger.warning("the broker did not take the doorbell: %s; workers will find the job", error)
            time.sleep(pause)

    def _publish(self) -> None:
        url = config().BROKER_URL
        if self._connection is not None and self._connection[0] == url:
            try:
                self._send(self._connection[1])
                return
            except Exception as error:
                # The broker may have been restarted or flushed behind a kept connection: once more on a new one.
                logger.debug("reconnecting to the broker: %s", error)
        self._drop()
        connection = self._connect(url)
        self._connection = (url, connection)
        try:
            self._send(connection)
        except Exception:
            self._drop()
            raise

    @staticmethod
    def _connect(url: str) -> Any:
        from kombu import Connection

        options = patience(url)
        if options:
            options["max_retries"] = 0
        return Connection(url, connect_timeout=TIMEOUT_SECONDS, transport_options=options)

    @staticmethod
    def _send(connection: Any) -> None:
        from booru_ml.broker import app

        app.send_task(TASK, connection=connection, retry=False, ignore_result=True)

    def _drop(self) -> None:
        if self._connection is not None:
            connection, self._connection = self._connection[1], None
            _close(connection)


_doorbell = Doorbell()


def ring() -> None:
    """Tells a worker that rows are waiting. Returns at once and never raises, whatever the broker does."""
    _doorbell.ring()


def check() -> None:
    """Raises ``Unavailable`` where the broker does not answer within a second or so."""
    url = config().BROKER_URL
    try:
        if url.startswith(("redis:", "rediss:")):
            _ping(url)
            return
        with Doorbell._connect(url) as connection:
            connection.ensure_connection(max_retries=1, timeout=TIMEOUT_SECONDS)
    except Exception as error:
        raise Unavailable(f"The broker does not answer: {error}") from error


def _ping(url: str) -> None:
    """Redis by its own client: Kombu would try again and again, and takes a silent server for a sound one."""
    from redis import Redis
    from redis.backoff import NoBackoff
    from redis.retry import Retry

    once = Retry(NoBackoff(), 0)
    limits = {"socket_timeout": TIMEOUT_SECONDS, "socket_connect_timeout": TIMEOUT_SECONDS}
    with Redis.from_url(url, retry=once, **limits) as client:
        client.ping()


def _close(connection: Any) -> None:
    try:
        connection.release()
    except Exception as error:
        logger.debug("while closing the broker's connection: %s", error)


def _renew() -> None:
    # Threads do not survive a fork, and a lock may have been copied while held.
    global _doorbell
    _doorbell = Doorbell()


os.register_at_fork(after_in_child=_renew)
