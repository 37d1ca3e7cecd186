"""The audit: every decision that was made, for reading only."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.contrib.auth import get_user_model
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.html import format_html

from booru_ml.admin.read_only import ReadOnly
from moderation.history import sentence
from moderation.models import Decision
from moderation.permissions import may_view

if TYPE_CHECKING:
    ModelAdmin = admin.ModelAdmin[Decision]
else:
    ModelAdmin = admin.ModelAdmin


class DecisionAdmin(ReadOnly, ModelAdmin):
    list_display = ("created_at", "by", "what", "post_and_case", "note", "taken_back")
    list_filter = ("verb", ("actor", admin.RelatedOnlyFieldListFilter))
    list_display_links = ("created_at",)
    list_select_related = ("actor", "case", "undone_by")
    fields = ("created_at", "by", "what", "post_and_case", "from_state", "to_state", "note", "delta", "taken_back")
    date_hierarchy = "created_at"
    actions = None
    show_full_result_count = False

    def get_search_fields(self, request: HttpRequest) -> tuple[str, ...]:
        return (f"actor__{get_user_model().USERNAME_FIELD}__exact", "note")

    def has_module_permission(self, request: HttpRequest) -> bool:
        return may_view(request.user)

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return may_view(request.user)

    @admin.display(description="by", ordering="actor")
    def by(self, row: Decision) -> str:
        return row.actor.get_username() if row.actor else "–"

    @admin.display(description="what happened", ordering="verb")
    def what(self, row: Decision) -> str:
        return sentence(row)

    @admin.display(description="case")
    def post_and_case(self, row: Decision) -> str:
        url = reverse("admin:booru_moderation_case_change", args=[row.case_id])
        return format_html('<a href="{}">post {}</a>', url, row.case.post_id)

    @admin.display(description="undone")
    def taken_back(self, row: Decision) -> str:
        return "undone" if hasattr(row, "undone_by") else ""

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        return super().changelist_view(request, {"title": "Decisions", **(extra_context or {})})
