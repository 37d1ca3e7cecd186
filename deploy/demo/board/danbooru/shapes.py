"""Rows as Danbooru writes them."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import datetime
from typing import Any

from django.http import HttpRequest
from django.utils import timezone

from deploy.demo.board.models import Post, Tag

_WORDS = re.compile(r"[^\W_]+")


def when(moment: datetime) -> str:
    """``2026-01-31T12:00:00.000+00:00``, as Rails writes it."""
    return timezone.localtime(moment).isoformat(timespec="milliseconds")


def tag(row: Tag) -> dict[str, Any]:
    return {
        "id": row.pk,
        "name": row.name,
        "post_count": row.post_count,
        "category": row.category,
        "created_at": when(row.created_at),
        "updated_at": when(row.updated_at),
        "is_deprecated": False,
        "words": _WORDS.findall(row.name.lower()),
    }


def post(row: Post, request: HttpRequest) -> dict[str, Any]:
    """``row`` with its tags prefetched. What this board does not have is there with Danbooru's empty value."""
    names: dict[int, list[str]] = {category: [] for category in Tag.Category.values}
    for item in sorted(row.tags.all(), key=lambda item: item.name):
        names.setdefault(item.category, []).append(item.name)
    url = request.build_absolute_uri(row.picture.url)
    body: dict[str, Any] = {
        "id": row.pk,
        "created_at": when(row.created_at),
        "uploader_id": row.uploader_id,
        "score": 0,
        "source": row.source,
        "md5": row.md5,
        "last_comment_bumped_at": None,
        "rating": row.rating,
        "image_width": row.width,
        "image_height": row.height,
        "tag_string": " ".join(sorted(name for group in names.values() for name in group)),
        "fav_count": 0,
        "file_ext": row.file_ext,
        "last_noted_at": None,
        "parent_id": None,
        "has_children": False,
        "approver_id": None,
        "file_size": row.file_size,
        "up_score": 0,
        "down_score": 0,
        "is_pending": row.status == Post.Status.PENDING,
        "is_flagged": row.status == Post.Status.FLAGGED,
        "is_deleted": row.status == Post.Status.DELETED,
        "tag_count": sum(len(group) for group in names.values()),
        "updated_at": when(row.updated_at),
        "is_banned": False,
        "pixiv_id": None,
        "last_commented_at": None,
        "has_active_children": False,
        "bit_flags": 0,
        "has_large": False,
        "has_visible_children": False,
    }
    for category in Tag.Category:
        key = category.name.lower()
        body[f"tag_count_{key}"] = len(names[category])
        body[f"tag_string_{key}"] = " ".join(names[category])
    body["media_asset"] = _media_asset(row, url)
    preview = request.build_absolute_uri(row.preview_url)
    return {**body, "file_url": url, "large_file_url": url, "preview_file_url": preview}


def _media_asset(row: Post, url: str) -> dict[str, Any]:
    return {
        "id": row.pk,
        "created_at": when(row.created_at),
        "updated_at": when(row.updated_at),
        "md5": row.md5,
        "file_ext": row.file_ext,
        "file_size": row.file_size,
        "image_width": row.width,
        "image_height": row.height,
        "duration": None,
        "status": "active",
        "file_key": row.sha256[:9],
        "is_public": True,
        "variants": [
            {"type": "original", "url": url, "width": row.width, "height": row.height, "file_ext": row.file_ext}
        ],
    }


def posts(rows: Iterable[Post], request: HttpRequest) -> list[dict[str, Any]]:
    return [post(row, request) for row in rows]
