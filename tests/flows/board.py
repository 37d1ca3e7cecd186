"""Helpers for tests of the reference board: people, tiny pictures, posts."""

from __future__ import annotations

import io
import itertools
import struct
import zlib
from typing import Any

from django.contrib.auth.models import User
from django.core.files.uploadedfile import SimpleUploadedFile

from deploy.demo.artist import draw
from deploy.demo.board import services
from deploy.demo.board.models import Post
from tests.people import user

_numbers = itertools.count(1)


def uploader(name: str = "ann") -> User:
    return user("board.add_post", "board.change_post", name=name)


def moderator(name: str = "mod") -> User:
    return user("board.change_post", "board.view_deleted_post", "booru_tagging.decide_suggestion", name=name)


def png(width: int = 8, height: int = 8, *, shade: int | None = None) -> bytes:
    """A real PNG of one colour; every call without ``shade`` gives another file."""
    level = next(_numbers) if shade is None else shade
    row = b"\0" + bytes([level % 256, level // 256 % 256, level // 65536 % 256]) * width

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(row * height))
        + chunk(b"IEND", b"")
    )


def drawing(**drawn: Any) -> bytes:
    """A JPEG by the procedural artist; arguments as for ``deploy.demo.artist.draw``."""
    buffer = io.BytesIO()
    draw(**{"size": (384, 512), **drawn}).image.save(buffer, "JPEG", quality=90)
    return buffer.getvalue()


def file(content: bytes | None = None, name: str = "picture.png") -> SimpleUploadedFile:
    return SimpleUploadedFile(name, png() if content is None else content)


def post(user: User, tags: str = "", *, rating: str = "g", source: str = "", **changes: Any) -> Post:
    row = services.upload(uploader=user, file=file(), tags=tags, rating=rating, source=source)
    for name, value in changes.items():
        setattr(row, name, value)
    if changes:
        row.save(update_fields=[*changes])
    return row
