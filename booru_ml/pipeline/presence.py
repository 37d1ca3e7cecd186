"""A worker process's row, by which others see that it lives and how it does."""

from __future__ import annotations

import threading
from datetime import timedelta
from typing import Any

from django.db.models.functions import Now

from booru_ml.models import Worker
from booru_ml.pipeline.outbox import database

FORGOTTEN = timedelta(hours=1)
"""After which the row of a process that was killed goes."""


class Presence:
    """Several threads may beat; all raise the database's errors."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._lock = threading.Lock()
        self._announced = False
        self._left = False
        self.peers = 1
        """Processes that work, this one included, as of the last beat."""

    def beat(self, **said: Any) -> bool:
        """Writes the row, with ``said``; False once the process has left."""
        said["last_seen_at"] = Now()
        if not self._announced:
            said["started_at"] = Now()
        rows = Worker.objects.using(database())
        with self._lock:
            if self._left:  # a beat that comes after the leave-taking would bring the row back
                return False
            if not rows.filter(name=self.name).update(**said):
                rows.bulk_create([Worker(name=self.name, **said)], ignore_conflicts=True)
        rows.filter(last_seen_at__lt=Now() - FORGOTTEN).delete()
        self.peers = max(1, rows.alive().filter(fault="").count())
        self._announced = True
        return True

    def leave(self) -> None:
        """Takes the row away."""
        with self._lock:
            self._left = True
            Worker.objects.using(database()).filter(name=self.name).delete()
