"""Which checkpoints this board knows, which of them speak, and which are on trial."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models.functions import Now

from booru_ml.conf import post_model


class ModelVersion(models.Model):
    """A checkpoint that was registered, or that a worker loaded; ``version`` stands on every suggestion and vector."""

    name = models.CharField(max_length=100)
    version = models.CharField(max_length=64, unique=True, help_text="name@hash of weights, preprocessing and labels")
    sha256 = models.CharField(max_length=64, help_text="of model.safetensors")
    heads = models.JSONField(default=list)
    folder = models.CharField(max_length=1000, blank=True, help_text="Where workers read it.")
    origin = models.CharField(max_length=1000, blank=True, help_text="Where it was taken from.")
    verified_at = models.DateTimeField(
        null=True, blank=True, help_text="When its sums were right and its network ran; only such can be promoted."
    )
    first_seen_at = models.DateTimeField(db_default=Now())

    class Meta:
        permissions = [("promote_modelversion", "Can promote models, roll them back and try them in shadow")]

    def __str__(self) -> str:
        return self.version


class PromotionQuerySet(models.QuerySet["Promotion"]):
    def in_force(self) -> Promotion | None:
        """The last link of the chain; None while the settings alone say which checkpoints speak."""
        return self.order_by("-pk").first()

    def half_done(self) -> PromotionQuerySet:
        """Rollbacks whose suggestions are not all withdrawn yet."""
        return self.filter(verb=Promotion.Verb.ROLLBACK, withdrawn_at=None)


class Promotion(models.Model):
    """One change of what speaks. Rows are only added, each after the last one: the last is in force, all are history.

    ``members`` are the promoted checkpoints (``version``, ``folder``, ``tasks``); what they leave, the checkpoints of
    the settings go on doing.
    """

    class Verb(models.TextChoices):
        PROMOTE = "promote", "promoted"
        ROLLBACK = "rollback", "rolled back"

    verb = models.CharField(max_length=10, choices=Verb)
    candidate = models.ForeignKey(
        ModelVersion, on_delete=models.PROTECT, related_name="promotions", help_text="What came, or went again."
    )
    tasks = models.JSONField(default=list, help_text="What it took over, or gave back.")
    members: Any = models.JSONField(default=list)
    follows = models.OneToOneField(
        "self", null=True, blank=True, on_delete=models.PROTECT, related_name="next", help_text="What it replaced."
    )
    undoes = models.ForeignKey("self", null=True, blank=True, on_delete=models.PROTECT, related_name="undone_by")
    pipeline_version = models.CharField(max_length=64)
    actor = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )
    note = models.CharField(max_length=500, blank=True)
    withdrawn = models.PositiveIntegerField(default=0, help_text="Suggestions that were withdrawn with it.")
    withdrawn_at = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField(db_default=Now())

    objects = PromotionQuerySet.as_manager()

    class Meta:
        ordering = ["-pk"]
        constraints = [
            models.UniqueConstraint(
                models.Value(1), name="booru_ml_one_first_promotion", condition=models.Q(follows=None)
            ),
        ]

    def __str__(self) -> str:
        return f"{self.candidate} {self.get_verb_display()} for {', '.join(self.tasks)}"


class Shadow(models.Model):
    """A trial: a candidate that looks at a share of the uploads beside the models in force, and is never heard."""

    class State(models.TextChoices):
        RUNNING = "running"
        ENDED = "ended"

    candidate = models.ForeignKey(ModelVersion, on_delete=models.PROTECT, related_name="shadows")
    share = models.FloatField(
        default=0.1, validators=[MinValueValidator(0.0), MaxValueValidator(1.0)], help_text="Of the uploads, 0–1."
    )
    state = models.CharField(max_length=10, choices=State, default=State.RUNNING)
    cursor = models.PositiveBigIntegerField(default=0, help_text="The last job that was considered.")
    fault = models.TextField(blank=True)
    actor = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )
    created_at = models.DateTimeField(db_default=Now())
    ended_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-pk"]
        constraints = [
            models.UniqueConstraint(models.Value(1), name="booru_ml_one_shadow", condition=models.Q(state="running")),
        ]

    def __str__(self) -> str:
        return f"shadow of {self.candidate} ({self.state})"


class ShadowLook(models.Model):
    """What the candidate and the models in force would suggest for one upload: ``[[category, name, score], …]``."""

    shadow = models.ForeignKey(Shadow, on_delete=models.CASCADE, related_name="looks")
    post = models.ForeignKey(post_model(), on_delete=models.CASCADE, related_name="+")
    active_version = models.CharField(max_length=64)
    candidate_said = models.JSONField(default=list)
    active_said = models.JSONField(default=list)
    candidate_seconds = models.FloatField()
    active_seconds = models.FloatField()
    created_at = models.DateTimeField(db_default=Now())

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["shadow", "post"], name="booru_ml_one_look"),
        ]

    def __str__(self) -> str:
        return f"look {self.pk} of shadow {self.shadow_id}"
