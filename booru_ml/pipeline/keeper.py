"""Keeps the leases of the batches in work from running out while they are worked on."""

from __future__ import annotations

import logging
import threading
import time
import uuid
from collections.abc import Callable
from types import TracebackType
from typing import Self

from django.db import DatabaseError, InterfaceError, connections

from booru_ml.conf import config
from booru_ml.pipeline import leases

logger = logging.getLogger(__name__)

PATIENCE = 15
"""Leases in a row after which a batch counts as stuck: it is left to another worker, and its own one ends."""


class LeaseKeeper:
    """A thread that renews every lease it was given, each third of its length. A context manager.

    Calls ``stuck`` when somebody works on a batch for longer than any batch can take.
    """

    def __init__(self, stuck: Callable[[], None] = lambda: None) -> None:
        self._stuck = stuck
        self._since: dict[uuid.UUID, float] = {}
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="booru-ml-leases", daemon=True)

    def keep(self, token: uuid.UUID) -> None:
        with self._lock:
            self._since[token] = time.monotonic()

    def drop(self, token: uuid.UUID) -> None:
        with self._lock:
            self._since.pop(token, None)

    def _run(self) -> None:
        while not self._stop.wait(config().LEASE_SECONDS / 3):
            oldest = time.monotonic() - PATIENCE * config().LEASE_SECONDS
            with self._lock:
                tokens = [token for token, since in self._since.items() if since > oldest]
                stuck = len(tokens) < len(self._since)
            if stuck:
                logger.error("a batch is stuck and left to other workers")
                self._stuck()
            try:
                if tokens:
                    leases.renew(tokens)
            except (DatabaseError, InterfaceError) as error:
                logger.warning("leases not renewed: %s", error)
            finally:
                connections.close_all()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join(timeout=5)
