"""Posts of the reference board that were saved without its services."""

from __future__ import annotations

from itertools import count
from typing import Any

from django.contrib.auth import get_user_model
from django.core.files.base import ContentFile

from deploy.demo.board.models import Post

_numbers = count()


def stored(data: bytes | None = None, *, uploader: str = "uploader", **fields: Any) -> Post:
    """A post with a file of any bytes; without ``data`` every call gives other ones."""
    number = next(_numbers)
    person, _ = get_user_model().objects.get_or_create(username=uploader)
    return Post.objects.create(
        picture=ContentFile(b"picture %d" % number if data is None else data, name=f"{number}.png"),
        sha256=f"{number:064x}",
        md5=f"{number:032x}",
        uploader=person,
        **fields,
    )
