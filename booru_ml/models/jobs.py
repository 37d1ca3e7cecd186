"""The job row: outbox and queue in one. Celery messages are only the doorbell."""

from __future__ import annotations

from django.db import models
from django.db.models.expressions import RawSQL
from django.db.models.functions import Now

from booru_ml.conf import post_model


def _unfinished() -> RawSQL:
    """The condition of the index that claims go by, as text: SQLite does not recognise it where values are bound."""
    return RawSQL("booru_ml_analysisjob.state IN ('queued', 'running')", [], models.BooleanField())


class JobQuerySet(models.QuerySet["AnalysisJob"]):
    def ready(self) -> JobQuerySet:
        """Rows a worker may take now: due and queued, or running under a lease that ran out."""
        return self.filter(_unfinished()).filter(
            models.Q(state=AnalysisJob.State.QUEUED, ready_at__lte=Now())
            | models.Q(state=AnalysisJob.State.RUNNING, lease_until__lt=Now())
        )

    def in_line(self) -> JobQuerySet:
        """The most urgent first, as their index has them."""
        return self.order_by("-priority", "ready_at", "pk")

    def unfinished(self) -> JobQuerySet:
        return self.filter(state__in=[AnalysisJob.State.QUEUED, AnalysisJob.State.RUNNING])

    def finished(self) -> JobQuerySet:
        return self.exclude(state__in=[AnalysisJob.State.QUEUED, AnalysisJob.State.RUNNING])

    def failed(self) -> JobQuerySet:
        """What ended without an analysis: pictures refused, and jobs given up."""
        return self.filter(state__in=[AnalysisJob.State.REFUSED, AnalysisJob.State.QUARANTINED])

    def retried(self) -> JobQuerySet:
        """Put back after an attempt that failed."""
        return self.filter(state=AnalysisJob.State.QUEUED, attempts__gt=0)

    def watched(self) -> JobQuerySet:
        """Rows whose upload may still be under way, because the board saves without a transaction."""
        return self.filter(watch_until__gt=Now())


class AnalysisJob(models.Model):
    """One picture to analyse by one version of the pipeline."""

    class State(models.TextChoices):
        QUEUED = "queued"
        RUNNING = "running"
        DONE = "done"
        REFUSED = "refused", "picture refused"
        QUARANTINED = "quarantined"

    class Priority(models.IntegerChoices):
        """Who goes first. ``HELD``: a fresh upload of somebody who has ``MAX_WAITING_PER_UPLOADER`` waiting already; it
        lets everybody else's pass, and needs nobody to release it."""

        BACKFILL = 10
        RERUN = 20
        HELD = 25
        FRESH = 30

    post = models.ForeignKey(post_model(), on_delete=models.CASCADE, related_name="booru_jobs")
    content_key = models.CharField(max_length=64)
    pipeline_version = models.CharField(max_length=64)
    priority = models.PositiveSmallIntegerField(choices=Priority, default=Priority.FRESH)
    state = models.CharField(max_length=12, choices=State, default=State.QUEUED)
    uploader = models.CharField(
        max_length=64, blank=True, db_default="", help_text="The board's key of who uploaded the post."
    )
    attempts = models.PositiveSmallIntegerField(default=0)
    ready_at = models.DateTimeField(db_default=Now())
    watch_until = models.DateTimeField(
        null=True,
        blank=True,
        help_text="Until when changes by the board's own upload form count as part of the upload.",
    )
    lease_token = models.UUIDField(null=True, blank=True)
    lease_until = models.DateTimeField(null=True, blank=True)
    code = models.CharField(max_length=40, blank=True, help_text="Why it was refused, put back or quarantined.")
    message = models.TextField(blank=True)
    sha256 = models.CharField(max_length=64, blank=True)
    width = models.PositiveIntegerField(null=True, blank=True)
    height = models.PositiveIntegerField(null=True, blank=True)
    frame_count = models.PositiveIntegerField(null=True, blank=True)
    timings = models.JSONField(default=dict, blank=True, help_text="Seconds per stage.")
    created_at = models.DateTimeField(db_default=Now())
    started_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)

    objects = JobQuerySet.as_manager()

    class Meta:
        verbose_name = "analysis job"
        constraints = [
            models.UniqueConstraint(
                fields=["post", "content_key", "pipeline_version"], name="booru_ml_one_job_per_content"
            ),
        ]
        indexes = [
            models.Index(
                fields=["-priority", "ready_at", "id"],
                name="booru_ml_unfinished_jobs",
                condition=models.Q(state__in=["queued", "running"]),
            ),
            models.Index(fields=["state", "-finished_at"], name="booru_ml_jobs_by_state"),
            models.Index(
                fields=["state", "code", "-finished_at"],
                name="booru_ml_failed_jobs",
                condition=models.Q(state__in=["refused", "quarantined"]),
            ),
            models.Index(
                fields=["code", "-ready_at"],
                name="booru_ml_retried_jobs",
                condition=models.Q(state="queued", attempts__gt=0),
            ),
            models.Index(
                fields=["uploader", "priority"],
                name="booru_ml_waiting_by_uploader",
                condition=models.Q(state="queued"),
            ),
        ]

    def __str__(self) -> str:
        return f"job {self.pk} of post {self.post_id} ({self.state})"


class Queue(AnalysisJob):
    """The same rows as one thing to look after: the queue's page in the admin."""

    class Meta:
        proxy = True
        default_permissions = ()
        verbose_name = verbose_name_plural = "job queue"
