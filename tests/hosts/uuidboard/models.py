"""A small board: UUID keys, a path and a line of tags."""

from __future__ import annotations

import uuid

from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.db import models
from django.db.models.functions import Now

from tests.hosts.kit import Kit


class Drawing(models.Model):
    key = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    path = models.CharField(max_length=200, blank=True)
    words = models.TextField(blank=True)
    created_at = models.DateTimeField(db_default=Now())

    def __str__(self) -> str:
        return str(self.key)


def upload(data: bytes, tags: str = "") -> Drawing:
    path = default_storage.save("drawing.png", ContentFile(data))
    return Drawing.objects.create(path=path, words=tags)


KIT = Kit(upload, has_categories=False, has_rating=False, has_status=False)
