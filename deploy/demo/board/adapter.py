"""How the plugin reaches this board: the field map of the settings, and the tag counts that a field map cannot say."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from django.db import transaction

from booru_ml.errors import InvalidInput
from booru_ml.host.model_board import ModelBoard
from booru_ml.types import TagRef
from deploy.demo.board import tagnames
from deploy.demo.board.models import Post, Tag
from deploy.demo.board.services import refresh_counts


class BoardAdapter(ModelBoard):
    def accepts_tag(self, name: str) -> bool:
        try:
            return tagnames.normalise(name) == name
        except InvalidInput:
            return False

    def thumbnail_url(self, post: Any) -> str:
        return str(post.preview_url)

    @transaction.atomic
    def add_tags(self, post_id: Any, tags: Sequence[TagRef]) -> tuple[TagRef, ...]:
        added = super().add_tags(post_id, tags)
        _recount(tag.name for tag in added)
        return added

    @transaction.atomic
    def remove_tags(self, post_id: Any, tags: Sequence[TagRef]) -> tuple[TagRef, ...]:
        removed = super().remove_tags(post_id, tags)
        _recount(tag.name for tag in removed)
        return removed

    @transaction.atomic
    def set_status(self, post_id: Any, status: str) -> str:
        before = super().set_status(post_id, status)
        if before != status and "deleted" in (before, status):
            refresh_counts(Post.tags.through.objects.filter(post_id=post_id).values_list("tag_id", flat=True))
        return before


def _recount(names: Iterable[str]) -> None:
    refresh_counts(Tag.objects.filter(name__in=list(names)).values_list("pk", flat=True))
