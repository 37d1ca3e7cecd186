"""Which checkpoints have spoken on this board."""

from __future__ import annotations

from django.db import models
from django.db.models.functions import Now


class ModelVersion(models.Model):
    """A checkpoint as a worker loaded it; its ``version`` stands on every suggestion, flag and vector."""

    name = models.CharField(max_length=100)
    version = models.CharField(max_length=64, unique=True, help_text="name@hash of weights, preprocessing and labels")
    sha256 = models.CharField(max_length=64, help_text="of model.safetensors")
    heads = models.JSONField(default=list)
    first_seen_at = models.DateTimeField(db_default=Now())

    def __str__(self) -> str:
        return self.version
