"""Suggestions and what became of them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.conf import settings
from django.db import models
from django.db.models.functions import Coalesce, Now

from booru_ml.conf import post_model
from booru_ml.types import Category


class SuggestionQuerySet(models.QuerySet["Suggestion"]):
    def of_posts(self, post_ids: Iterable[Any], *, states: Iterable[str]) -> SuggestionQuerySet:
        """Those of a few posts in these states. SQLite, which has no statistics, would else read all in them."""
        rows = self.alias(standing=Coalesce("state", models.Value("")))
        return rows.filter(standing__in=states, post_id__in=post_ids)

    def pending(self) -> SuggestionQuerySet:
        """Rows that a person may still accept or reject."""
        return self.filter(state__in=[Suggestion.State.SUGGESTED, Suggestion.State.AUTO_APPLIED])

    def undecided(self) -> SuggestionQuerySet:
        """Rows that belong to the analyses: a new run may rescore, withdraw and bring them back."""
        return self.filter(state__in=Suggestion.UNDECIDED)

    def untouched(self) -> SuggestionQuerySet:
        """Rows that nobody, no rule included, has ever decided."""
        return self.filter(~models.Exists(TagDecision.objects.filter(suggestion=models.OuterRef("pk"))))


class Suggestion(models.Model):
    """One tag (or rating, or quality grade) proposed for one post. The row is durable: a rejection stays."""

    class State(models.TextChoices):
        SUGGESTED = "suggested"
        ACCEPTED = "accepted"
        REJECTED = "rejected"
        AUTO_APPLIED = "auto_applied", "applied automatically"
        WITHDRAWN = "withdrawn", "withdrawn by a later analysis"

    UNDECIDED = (State.SUGGESTED, State.WITHDRAWN)

    class Source(models.TextChoices):
        MODEL = "model"
        PROTOTYPE = "prototype"
        IMPLICATION = "implication"

    post = models.ForeignKey(post_model(), on_delete=models.CASCADE, related_name="booru_suggestions")
    name = models.CharField(max_length=200)
    category = models.CharField(max_length=10, choices=[(item.value, item.value) for item in Category])
    score = models.FloatField(help_text="0–1")
    source = models.CharField(max_length=12, choices=Source)
    model_version = models.CharField(max_length=64)
    gallery_revision = models.PositiveBigIntegerField(null=True, blank=True)
    evidence = models.JSONField(default=dict, blank=True, help_text="Why: nearest supports, margin, face box, rule.")
    state = models.CharField(max_length=12, choices=State, default=State.SUGGESTED)
    created_at = models.DateTimeField(db_default=Now())
    scored_at = models.DateTimeField(db_default=Now())

    objects = SuggestionQuerySet.as_manager()

    class Meta:
        ordering = ["category", "-score"]
        constraints = [
            models.UniqueConstraint(fields=["post", "category", "name"], name="booru_tagging_one_suggestion"),
        ]
        indexes = [models.Index(fields=["state", "-id"], name="booru_tagging_by_state")]
        permissions = [("decide_suggestion", "Can accept and reject suggestions on any post")]

    def __str__(self) -> str:
        return f"{self.category}:{self.name} {self.score:.2f} ({self.state})"


class TagDecision(models.Model):
    """Audit: who moved a suggestion from one state to the next, and what really changed on the board.

    ``delta`` holds only what changed: ``tags_added`` and ``tags_removed`` (lists of ``[name, category]``),
    ``rating_before`` with ``rating_after``, ``support_added`` (id of the support picture that was learned).
    """

    class Verb(models.TextChoices):
        ACCEPT = "accept"
        REJECT = "reject"
        AUTO_APPLY = "auto_apply", "apply automatically"
        UNDO = "undo"

    suggestion = models.ForeignKey(Suggestion, on_delete=models.CASCADE, related_name="decisions")
    actor = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )
    verb = models.CharField(max_length=10, choices=Verb)
    from_state = models.CharField(max_length=12)
    to_state = models.CharField(max_length=12)
    delta = models.JSONField(default=dict, help_text="The real change: tags_added, rating_before, support_added.")
    undoes = models.OneToOneField("self", null=True, blank=True, on_delete=models.CASCADE, related_name="undone_by")
    created_at = models.DateTimeField(db_default=Now())

    class Meta:
        ordering = ["-id"]

    def __str__(self) -> str:
        return f"{self.verb} {self.suggestion_id}"


class SweepQuerySet(models.QuerySet["Sweep"]):
    def active(self) -> SweepQuerySet:
        """Those that workers go on with, and those that wait to be resumed."""
        return self.filter(state__in=[*Sweep.MOVING, Sweep.State.PAUSED])

    def moving(self) -> SweepQuerySet:
        return self.filter(state__in=Sweep.MOVING)


class Sweep(models.Model):
    """A standing order to look for one character or artist on every post, and how far it is carried out.

    ``cursor`` is the last post that was passed; each step of the walk is a ``SweepStep`` with what it really changed.
    """

    class State(models.TextChoices):
        RUNNING = "running"
        PAUSED = "paused"
        FINISHED = "finished"
        CANCELLED = "cancelled"
        UNDOING = "undoing", "being taken back"
        UNDONE = "undone", "taken back"

    MOVING = (State.RUNNING, State.UNDOING)

    subject_id = models.BigIntegerField(help_text="whom the gallery is asked about")
    name = models.CharField(max_length=200, help_text="the subject's name when it was ordered")
    category = models.CharField(max_length=10, choices=[(item.value, item.value) for item in Category])
    threshold = models.FloatField(help_text="0–1, the least probability that is suggested")
    state = models.CharField(max_length=10, choices=State, default=State.RUNNING)
    cursor = models.CharField(max_length=64, blank=True, help_text="the last post that was passed")
    total = models.PositiveBigIntegerField(default=0)
    passed = models.PositiveBigIntegerField(default=0)
    compared = models.PositiveBigIntegerField(default=0, help_text="posts that are analysed")
    suggested = models.PositiveBigIntegerField(default=0, help_text="new suggestions")
    withdrawn = models.PositiveBigIntegerField(default=0, help_text="open suggestions that are not supported any more")
    taken_back = models.PositiveBigIntegerField(default=0, help_text="changes that an undo took back")
    fault = models.TextField(blank=True)
    actor = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )
    created_at = models.DateTimeField(db_default=Now())
    finished_at = models.DateTimeField(null=True, blank=True)

    objects = SweepQuerySet.as_manager()

    class Meta:
        ordering = ["-id"]
        verbose_name = "search of old posts"
        verbose_name_plural = "searches of old posts"
        constraints = [
            models.UniqueConstraint(
                fields=["subject_id"],
                condition=models.Q(state__in=["running", "paused", "undoing"]),
                name="booru_tagging_one_sweep",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.name} on old posts from {self.threshold:.0%}"


class SweepStep(models.Model):
    """What one step of a sweep changed: ``created`` (ids of suggestions) and ``changed`` (their columns before)."""

    sweep = models.ForeignKey(Sweep, on_delete=models.CASCADE, related_name="steps")
    delta = models.JSONField(default=dict)

    class Meta:
        default_permissions = ()
        ordering = ["-id"]

    def __str__(self) -> str:
        return f"step {self.pk} of sweep {self.sweep_id}"
