"""The reference board's kit."""

from __future__ import annotations

import hashlib
from typing import Any

from django.contrib.auth import get_user_model
from django.core.files.base import ContentFile

from tests.hosts.kit import Kit


def upload(data: bytes, tags: str = "") -> Any:
    from deploy.demo.board.models import Post, Tag

    uploader, _ = get_user_model().objects.get_or_create(username="uploader")
    post = Post.objects.create(
        picture=ContentFile(data, name="picture.png"),
        sha256=hashlib.sha256(data).hexdigest(),
        md5=hashlib.md5(data).hexdigest(),
        uploader=uploader,
    )
    post.tags.set([Tag.objects.get_or_create(name=name)[0] for name in tags.split()])
    return post


KIT = Kit(upload)
