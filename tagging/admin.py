"""Suggestions and their history in the admin: read, accept, reject, undo; nothing is edited by hand."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.html import format_html

from booru_ml.admin.read_only import ReadOnly
from tagging import permissions, services, trial_admin  # noqa: F401 - registers the trials
from tagging.models import Suggestion, TagDecision
from tagging.sweep_admin import SweepAdmin  # noqa: F401 - registers itself
from tagging.wording import why

if TYPE_CHECKING:
    RowAdminBase = admin.ModelAdmin[Any]
    InlineBase = admin.TabularInline[TagDecision, Suggestion]
else:
    RowAdminBase = admin.ModelAdmin
    InlineBase = admin.TabularInline

SHOWN_REFUSALS = 5


class RowAdmin(ReadOnly, RowAdminBase):
    list_per_page = 50

    def has_decide_permission(self, request: HttpRequest) -> bool:
        return permissions.may_decide_any(request.user)

    @admin.display(description="post")
    def post_link(self, row: Any) -> str:
        """The post, by the address that the board gives it."""
        post = (row if isinstance(row, Suggestion) else row.suggestion).post
        url = post.get_absolute_url() if hasattr(post, "get_absolute_url") else ""
        return format_html('<a href="{}">{}</a>', url, post) if url else str(post)

    def tell(self, request: HttpRequest, outcome: services.Bulk, done: str) -> None:
        if outcome.done:
            self.message_user(request, f"{len(outcome.done)} {done}.", messages.SUCCESS)
        for pk, error in list(outcome.refused.items())[:SHOWN_REFUSALS]:
            self.message_user(request, f"{pk}: {error.message}", messages.WARNING)
        if (more := len(outcome.refused) - SHOWN_REFUSALS) > 0:
            self.message_user(request, f"{more} more were left as they are.", messages.WARNING)


class DecisionInline(InlineBase):
    model = TagDecision
    fields = readonly_fields = ("verb", "actor", "from_state", "to_state", "delta", "created_at")
    extra = 0
    can_delete = False

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


@admin.register(Suggestion)
class SuggestionAdmin(RowAdmin):
    list_display = ("name", "category", "percent", "state", "source", "post_link", "model_version", "scored_at")
    list_filter = ("state", "category", "source")
    list_select_related = ("post",)
    search_fields = ("name__startswith",)
    search_help_text = "The beginning of a tag"
    ordering = ("-id",)
    readonly_fields = ("post_link", "reason")
    fields = (
        "post_link",
        "name",
        "category",
        "score",
        "reason",
        "state",
        "source",
        "model_version",
        "gallery_revision",
        "created_at",
        "scored_at",
    )
    inlines = (DecisionInline,)
    actions = ("accept", "reject")

    @admin.display(description="score", ordering="score")
    def percent(self, row: Suggestion) -> str:
        return f"{row.score:.0%}"

    @admin.display(description="why")
    def reason(self, row: Suggestion) -> str:
        return why(score=row.score, evidence=row.evidence, model_version=row.model_version)

    @admin.action(description="Accept: write to the posts", permissions=["decide"])
    def accept(self, request: HttpRequest, queryset: QuerySet[Suggestion]) -> None:
        self._decide(request, queryset, services.accept_many, "accepted")

    @admin.action(description="Reject for good", permissions=["decide"])
    def reject(self, request: HttpRequest, queryset: QuerySet[Suggestion]) -> None:
        self._decide(request, queryset, services.reject_many, "rejected")

    def _decide(
        self, request: HttpRequest, rows: QuerySet[Suggestion], verb: Callable[..., services.Bulk], done: str
    ) -> None:
        outcome = verb(suggestion_ids=list(rows.values_list("pk", flat=True)), actor=request.user)
        self.tell(request, outcome, done)


@admin.register(TagDecision)
class TagDecisionAdmin(RowAdmin):
    list_display = ("id", "verb", "suggestion", "post_link", "actor", "from_state", "to_state", "created_at")
    list_filter = ("verb", "created_at")
    list_select_related = ("suggestion__post", "actor")
    search_fields = ("suggestion__name__startswith",)
    fields = readonly_fields = (
        "suggestion",
        "verb",
        "actor",
        "from_state",
        "to_state",
        "delta",
        "undoes",
        "created_at",
    )
    actions = ("undo",)

    @admin.action(description="Undo: take back what these changed", permissions=["decide"])
    def undo(self, request: HttpRequest, queryset: QuerySet[TagDecision]) -> None:
        outcome = services.undo_many(decision_ids=list(queryset.values_list("pk", flat=True)), actor=request.user)
        self.tell(request, outcome, "undone")
