"""Which worker processes are alive: each writes one row and keeps touching it."""

from __future__ import annotations

from datetime import timedelta

from django.db import models
from django.db.models.functions import Now

from booru_ml.conf import config


class WorkerQuerySet(models.QuerySet["Worker"]):
    def alive(self) -> WorkerQuerySet:
        """Seen within three reconcile periods."""
        return self.filter(last_seen_at__gt=Now() - timedelta(seconds=3 * config().RECONCILE_SECONDS))


class Worker(models.Model):
    """A worker process. ``fault`` says why it cannot work at the moment; empty when all is well."""

    name = models.CharField(max_length=200, unique=True, help_text="host:pid")
    pipeline_version = models.CharField(max_length=64, blank=True)
    pictures = models.PositiveBigIntegerField(default=0, help_text="Jobs finished by this process.")
    batches = models.PositiveBigIntegerField(default=0)
    fault = models.TextField(blank=True)
    behind = models.TextField(
        blank=True, db_default="", help_text="Why it works with the former models; empty with those in force."
    )
    started_at = models.DateTimeField(db_default=Now())
    last_seen_at = models.DateTimeField(db_default=Now())

    objects = WorkerQuerySet.as_manager()

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name
