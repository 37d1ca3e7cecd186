"""Flags raise a case; moderators decide cases; every decision is written down with what it really changed."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.db import models
from django.db.models.functions import Now

from booru_ml.conf import post_model


class Flag(models.Model):
    """One reason to look at a post, with its score and what said so."""

    class Reason(models.TextChoices):
        RATING_TOO_LOW = "rating_too_low", "rated milder than it looks"
        EXPLICIT = "explicit", "looks explicit"
        NOT_DRAWN = "not_drawn", "looks like a photo"
        LOW_QUALITY = "low_quality", "poor sketch"
        DUPLICATE = "duplicate", "near-duplicate of another post"
        UNREADABLE = "unreadable", "picture cannot be analysed"

    post = models.ForeignKey(post_model(), on_delete=models.CASCADE, related_name="booru_flags")
    reason = models.CharField(max_length=16, choices=Reason)
    score = models.FloatField(help_text="0–1")
    detail = models.JSONField(default=dict, blank=True)
    model_version = models.CharField(max_length=64, blank=True)
    active = models.BooleanField(default=True)
    created_at = models.DateTimeField(db_default=Now())

    class Meta:
        ordering = ["-score"]
        constraints = [models.UniqueConstraint(fields=["post", "reason"], name="booru_moderation_one_flag")]

    def __str__(self) -> str:
        return f"{self.reason} {self.score:.2f}"


class CaseQuerySet(models.QuerySet["Case"]):
    def free_for(self, user_id: Any) -> CaseQuerySet:
        """Cases that nobody else holds now, by the database's clock."""
        return self.filter(
            models.Q(claimed_by=None) | models.Q(claimed_by_id=user_id) | models.Q(claimed_until__lte=Now())
        )

    def held_by(self, user_id: Any) -> CaseQuerySet:
        return self.filter(claimed_by_id=user_id, claimed_until__gt=Now())

    def with_reason(self, reason: str | None) -> CaseQuerySet:
        """Cases with an active flag of this kind; all of them for None."""
        if reason is None:
            return self
        flags = Flag.objects.filter(post_id=models.OuterRef("post_id"), reason=reason, active=True)
        return self.filter(models.Exists(flags))

    def behind(self, case: Case) -> CaseQuerySet:
        """What comes after ``case`` in the queue's order."""
        return self.filter(models.Q(priority__lt=case.priority) | models.Q(priority=case.priority, pk__gt=case.pk))

    def before(self, case: Case) -> CaseQuerySet:
        """What comes before ``case``, nearest first."""
        ahead = models.Q(priority__gt=case.priority) | models.Q(priority=case.priority, pk__lt=case.pk)
        return self.filter(ahead).order_by("priority", "-pk")


class Case(models.Model):
    """A post in the queue.

    ``version`` is raised by every change of what a decision rests on (state, reasons, picture), so that nobody decides
    on a stale view; claims leave it alone. ``analysis`` keeps what the queue shows of the last analysis: ``sha256``,
    ``width``, ``height``, ``pipeline``, ``near`` (``[{"post", "similarity"}, …]``) and ``scores`` (``{"rating":
    [["g", 0.9], …], "medium": …, "quality": …}``; lists, as PostgreSQL forgets the order of an object's keys).
    """

    class State(models.TextChoices):
        OPEN = "open"
        APPROVED = "approved"
        REJECTED = "rejected"

    post = models.OneToOneField(post_model(), on_delete=models.CASCADE, related_name="booru_case")
    state = models.CharField(max_length=10, choices=State, default=State.OPEN)
    priority = models.FloatField(default=0.0, help_text="log₂ of the expected value of a look; highest first")
    version = models.PositiveIntegerField(default=0)
    analysis = models.JSONField(default=dict, blank=True)
    claimed_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )
    claimed_until = models.DateTimeField(null=True, blank=True)
    opened_at = models.DateTimeField(db_default=Now())
    decided_at = models.DateTimeField(null=True, blank=True)

    objects = CaseQuerySet.as_manager()

    class Meta:
        ordering = ["-priority", "id"]
        verbose_name_plural = "queue"
        indexes = [models.Index(fields=["state", "-priority", "id"], name="booru_moderation_queue")]
        permissions = [("decide_case", "Can approve and reject posts in the queue")]

    def __str__(self) -> str:
        return f"case {self.pk} of post {self.post_id} ({self.state})"


class Decision(models.Model):
    """Audit: one verb by one person on one case, and the real change it made on the board.

    ``delta``: ``status_before`` and ``status_after`` of the post, ``reasons`` and ``sha256`` that were judged,
    ``tag_decisions`` made along with it. A reopening has no actor: a new reason did it, named in ``reasons``.
    """

    class Verb(models.TextChoices):
        APPROVE = "approve"
        REJECT = "reject"
        REOPEN = "reopen"
        UNDO = "undo"

    case = models.ForeignKey(Case, on_delete=models.CASCADE, related_name="decisions")
    actor = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )
    verb = models.CharField(max_length=8, choices=Verb)
    from_state = models.CharField(max_length=10)
    to_state = models.CharField(max_length=10)
    delta = models.JSONField(default=dict, help_text="The real change; see the model.")
    note = models.TextField(blank=True)
    undoes = models.OneToOneField("self", null=True, blank=True, on_delete=models.CASCADE, related_name="undone_by")
    created_at = models.DateTimeField(db_default=Now())

    class Meta:
        ordering = ["-id"]

    def __str__(self) -> str:
        return f"{self.verb} case {self.case_id}"
