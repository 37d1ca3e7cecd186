"""The board's own tables in the admin, for a look; people work on the pages, moderators in the queue."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.http import HttpRequest

from deploy.demo.board.models import Post, Tag


@admin.register(Post)
class PostAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    list_display = ["id", "status", "rating", "uploader", "file_ext", "file_size", "created_at"]
    list_filter = ["status", "rating", "file_ext"]
    search_fields = ["id", "md5", "sha256", "source", "tags__name"]
    show_full_result_count = False

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Counts, digests and jobs hang on these rows: the services keep them right."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


@admin.register(Tag)
class TagAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    list_display = ["name", "category", "post_count"]
    list_filter = ["category"]
    search_fields = ["name"]
    fields = ["name", "category", "post_count"]
    readonly_fields = ["name", "post_count"]

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False
