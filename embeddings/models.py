"""Vectors are the truth; every index is derived from these rows and can be rebuilt."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models.functions import Now

from booru_ml.conf import post_model


class Vector(models.Model):
    """One embedding of a post: of the whole picture, of its style, or of one of its faces."""

    class Kind(models.TextChoices):
        PICTURE = "picture"
        STYLE = "style"
        FACE = "face"

    post = models.ForeignKey(post_model(), on_delete=models.CASCADE, related_name="booru_vectors")
    kind = models.CharField(max_length=8, choices=Kind)
    number = models.PositiveSmallIntegerField(default=0, help_text="0, or the face's place from left to right")
    box = models.JSONField(null=True, blank=True, help_text="x, y, width, height as fractions; score")
    model_version = models.CharField(max_length=64)
    data = models.BinaryField(help_text="float16, little-endian, L2-normalised")
    created_at = models.DateTimeField(db_default=Now())

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["post", "kind", "number", "model_version"], name="booru_embeddings_one_vector"
            ),
        ]
        indexes = [models.Index(fields=["model_version", "kind", "id"], name="booru_embeddings_space")]

    def __str__(self) -> str:
        return f"{self.kind} {self.number} of post {self.post_id}"


class Subject(models.Model):
    """Somebody the gallery can recognise: a character or an artist."""

    class Category(models.TextChoices):
        CHARACTER = "character"
        ARTIST = "artist"

    name = models.CharField(max_length=200, help_text="the tag")
    category = models.CharField(max_length=10, choices=Category, default=Category.CHARACTER)
    enabled = models.BooleanField(default=True)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )
    created_at = models.DateTimeField(db_default=Now())

    class Meta:
        ordering = ["category", "name"]
        constraints = [models.UniqueConstraint(fields=["category", "name"], name="booru_embeddings_one_subject")]
        permissions = [("enrol_subject", "Can enrol characters and artists from pictures")]

    def __str__(self) -> str:
        return self.name


class Support(models.Model):
    """One picture (or face) that shows a subject, or is known not to (``positive=False``).

    It names the picture, not the vector: a new encoder's vectors are found through the same row.
    """

    subject = models.ForeignKey(Subject, on_delete=models.CASCADE, related_name="supports")
    post = models.ForeignKey(post_model(), on_delete=models.CASCADE, related_name="booru_supports")
    kind = models.CharField(max_length=8, choices=Vector.Kind, default=Vector.Kind.PICTURE)
    number = models.PositiveSmallIntegerField(default=0)
    positive = models.BooleanField(default=True)
    added_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )
    added_at = models.DateTimeField(db_default=Now())

    class Meta:
        verbose_name = "support picture"
        constraints = [
            models.UniqueConstraint(fields=["subject", "post", "kind", "number"], name="booru_embeddings_one_support"),
        ]

    def __str__(self) -> str:
        return f"{self.subject} in post {self.post_id}"


class Gallery(models.Model):
    """The gallery's revision: one row, raised in every transaction that changes subjects, supports or their vectors.

    Its row lock puts those transactions in order, so a reader that sees revision n has seen everything up to n.
    """

    revision = models.PositiveBigIntegerField(default=0)

    class Meta:
        verbose_name_plural = "gallery"

    def __str__(self) -> str:
        return f"revision {self.revision}"
