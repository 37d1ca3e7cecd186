"""A standing order to analyse old posts: what was asked for, and how far it is."""

from __future__ import annotations

from django.db import models
from django.db.models.functions import Now


class BackfillQuerySet(models.QuerySet["Backfill"]):
    def active(self) -> BackfillQuerySet:
        """The one that is under way or paused, if any."""
        return self.filter(state__in=[Backfill.State.RUNNING, Backfill.State.PAUSED])


class Backfill(models.Model):
    """``cursor`` moves in the transaction that writes the rows of the posts it passes, so whoever feeds the queue may
    die at any moment."""

    class State(models.TextChoices):
        RUNNING = "running"
        PAUSED = "paused"
        FINISHED = "finished", "everything queued"
        CANCELLED = "cancelled"

    EVERY_POST = "every post"

    state = models.CharField(max_length=12, choices=State, default=State.RUNNING)
    since = models.DateTimeField(null=True, blank=True, help_text="Only posts from then on.")
    tags = models.JSONField(default=list, blank=True, help_text="Only posts that carry all of these.")
    limit = models.PositiveIntegerField(null=True, blank=True, help_text="Queue no more than this.")
    model = models.CharField(
        max_length=64, blank=True, help_text="Only posts analysed last by a version that begins so."
    )
    refused = models.BooleanField(default=False, help_text="Also pictures that were refused.")
    per_minute = models.FloatField(null=True, blank=True, help_text="Queue no faster than this.")
    pipeline_version = models.CharField(max_length=64, help_text="What the posts are analysed by.")
    total = models.PositiveIntegerField(help_text="Posts that match, when it began.")
    cursor = models.CharField(max_length=255, blank=True, help_text="The last post that was passed; newest go first.")
    passed = models.PositiveIntegerField(default=0)
    queued = models.PositiveIntegerField(default=0)
    left_refused = models.PositiveIntegerField(default=0, help_text="Passed over, because their picture was refused.")
    paid_until = models.DateTimeField(db_default=Now(), help_text="Up to when the rate is used up.")
    fault = models.TextField(blank=True, help_text="Why it could not go on when it was fed last.")
    created_at = models.DateTimeField(db_default=Now())
    fed_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)

    objects = BackfillQuerySet.as_manager()

    class Meta:
        ordering = ["-pk"]
        constraints = [
            models.UniqueConstraint(
                models.Value(1), name="booru_ml_one_backfill", condition=models.Q(state__in=["running", "paused"])
            ),
        ]

    def __str__(self) -> str:
        return f"backfill {self.pk} ({self.state})"

    @property
    def wish(self) -> str:
        """What was asked for, in the command's own words."""
        said = [
            f"--since {self.since.isoformat()}" if self.since else "",
            f"--tags '{' '.join(self.tags)}'" if self.tags else "",
            f"--limit {self.limit}" if self.limit else "",
            f"--model {self.model}" if self.model else "",
            "--refused" if self.refused else "",
        ]
        return " ".join(filter(None, said)) or self.EVERY_POST
