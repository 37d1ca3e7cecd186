"""A Danbooru-shaped board: posts and categorised tags."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.conf import settings
from django.db import models
from django.db.models.functions import Now
from django.urls import reverse

if TYPE_CHECKING:
    from django.contrib.auth.models import AnonymousUser, User


class Tag(models.Model):
    class Category(models.IntegerChoices):
        GENERAL = 0
        ARTIST = 1
        COPYRIGHT = 3
        CHARACTER = 4
        META = 5

    name = models.CharField(max_length=200, unique=True)
    category = models.PositiveSmallIntegerField(choices=Category, default=Category.GENERAL)
    post_count = models.PositiveIntegerField(default=0, help_text="posts that carry it and are not deleted")
    created_at = models.DateTimeField(db_default=Now())
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        ordering = ["name"]
        indexes = [models.Index(fields=["-post_count", "name"], name="board_tags_by_count")]

    def __str__(self) -> str:
        return self.name


class PostQuerySet(models.QuerySet["Post"]):
    def visible_to(self, user: User | AnonymousUser) -> PostQuerySet:
        """Everything for moderators; for others what is not deleted, and what they uploaded themselves."""
        if user.is_authenticated and user.has_perm("board.view_deleted_post"):
            return self
        living = ~models.Q(status=Post.Status.DELETED)
        return self.filter(living | models.Q(uploader=user.pk)) if user.is_authenticated else self.filter(living)


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

    picture = models.FileField(upload_to="posts/", max_length=200)
    tags = models.ManyToManyField(Tag, blank=True, related_name="posts")
    rating = models.CharField(max_length=1, choices=Rating, default=Rating.GENERAL)
    status = models.CharField(max_length=8, choices=Status, default=Status.PENDING)
    source = models.CharField(max_length=1000, blank=True)
    uploader = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="posts")
    sha256 = models.CharField(max_length=64, unique=True)
    md5 = models.CharField(max_length=32, db_index=True)
    width = models.PositiveIntegerField(default=0, help_text="pixels; 0 where the header does not tell")
    height = models.PositiveIntegerField(default=0)
    file_size = models.PositiveBigIntegerField(default=0, help_text="bytes")
    file_ext = models.CharField(max_length=8, default="bin", help_text="by content, never by name")
    created_at = models.DateTimeField(db_default=Now())
    updated_at = models.DateTimeField(auto_now=True)

    objects = PostQuerySet.as_manager()

    class Meta:
        ordering = ["-id"]
        indexes = [
            models.Index(fields=["status", "-id"], name="board_posts_by_status"),
            models.Index(fields=["rating", "-id"], name="board_posts_by_rating"),
        ]
        permissions = [("view_deleted_post", "Can see deleted posts")]

    def __str__(self) -> str:
        return f"post {self.pk}"

    def get_absolute_url(self) -> str:
        return reverse("post-detail", args=[self.pk])

    @property
    def preview_url(self) -> str:
        """A small version for grids; the file itself where browsers show no picture."""
        return self.picture.url if self.file_ext == "bin" else reverse("preview", args=[self.sha256])
