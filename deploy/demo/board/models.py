"""A Danbooru-shaped board: posts and categorised tags."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models.functions import Now


class Tag(models.Model):
    class Category(models.IntegerChoices):
        GENERAL = 0
        ARTIST = 1
        COPYRIGHT = 3
        CHARACTER = 4
        META = 5

    name = models.CharField(max_length=200, unique=True)
    category = models.PositiveSmallIntegerField(choices=Category, default=Category.GENERAL)
    post_count = models.PositiveIntegerField(default=0)
    created_at = models.DateTimeField(db_default=Now())
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name


class Post(models.Model):
    class Rating(models.TextChoices):
        GENERAL = "g"
        SENSITIVE = "s"
        QUESTIONABLE = "q"
        EXPLICIT = "e"

    class Status(models.TextChoices):
        PENDING = "pending"
        ACTIVE = "active"
        FLAGGED = "flagged"
        DELETED = "deleted"

    picture = models.FileField(upload_to="posts/")
    tags = models.ManyToManyField(Tag, blank=True, related_name="posts")
    rating = models.CharField(max_length=1, choices=Rating, default=Rating.GENERAL)
    status = models.CharField(max_length=8, choices=Status, default=Status.PENDING)
    source = models.CharField(max_length=1000, blank=True)
    uploader = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="posts")
    sha256 = models.CharField(max_length=64, unique=True)
    md5 = models.CharField(max_length=32, db_index=True)
    width = models.PositiveIntegerField(default=0)
    height = models.PositiveIntegerField(default=0)
    file_size = models.PositiveBigIntegerField(default=0)
    file_ext = models.CharField(max_length=8, default="bin")
    created_at = models.DateTimeField(db_default=Now())
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        ordering = ["-id"]

    def __str__(self) -> str:
        return f"post {self.pk}"
