"""The queue as a list of cards, and one case large."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, reverse

from booru_ml.admin.read_only import ReadOnly
from booru_ml.errors import NotFound
from booru_ml.http import post_key
from booru_ml.types import Category, Rating
from embeddings.selectors import ENROL
from moderation import history, selectors, states
from moderation.admin.filters import HolderFilter, ReasonFilter, StateFilter, reason_pills, state_pills
from moderation.admin.overlay import marks
from moderation.admin.verbs import VerbViews, case_query, case_url
from moderation.models import Case, CaseQuerySet
from moderation.permissions import may_decide, may_view
from moderation.types import READING, QueueItem
from tagging.permissions import may_decide as may_decide_tags
from tagging.selectors import SuggestionView
from tagging.wording import RATINGS

if TYPE_CHECKING:
    ModelAdmin = admin.ModelAdmin[Case]
else:
    ModelAdmin = admin.ModelAdmin


class CaseAdmin(ReadOnly, VerbViews, ModelAdmin):
    list_filter = (StateFilter, ReasonFilter, HolderFilter)
    list_per_page = 24
    list_select_related = ("claimed_by",)
    search_fields = ("pk",)
    search_help_text = "Find a case by the id of its post"
    sortable_by = ()
    actions = None

    # --- Rights: nobody edits a case by hand; its verbs ask for their own right ---

    def has_module_permission(self, request: HttpRequest) -> bool:
        return may_view(request.user)

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return may_view(request.user)

    # --- Pages ---

    def get_urls(self) -> list[URLPattern]:
        return [*self.verb_urls(), *super().get_urls()]

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Case], search_term: str
    ) -> tuple[QuerySet[Case], bool]:
        term = search_term.strip().removeprefix("#")
        if not term:
            return queryset, False
        try:
            return queryset.filter(post_id=post_key(term)), False
        except NotFound:
            return queryset.none(), False

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        response = super().changelist_view(request, {"title": "Moderation queue", **(extra_context or {})})
        if isinstance(response, TemplateResponse) and response.context_data and "cl" in response.context_data:
            cl = response.context_data["cl"]
            counts = selectors.counts(user_id=request.user.pk)
            response.context_data |= {
                "title": "Moderation queue",
                "items": selectors.items(list(cl.result_list)),
                "state_pills": list(state_pills(cl, counts)),
                "reason_pills": list(reason_pills(cl, counts)),
                "reason": cl.params.get("reason", ""),
                "case_query": case_query(cl.params.get("reason")),
                "may_decide": may_decide(request.user),
                "waiting": counts.states[states.OPEN],
            }
        return response

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        if not self.has_view_permission(request):
            raise PermissionDenied
        if request.method not in ("GET", "HEAD"):
            raise PermissionDenied("Cases change by their verbs alone.")
        try:
            item = selectors.item(int(object_id))
        except (NotFound, ValueError, OverflowError):
            messages.warning(request, f"There is no case “{object_id[:40]}”; its post may be gone from the board.")
            return HttpResponseRedirect(reverse("admin:booru_moderation_case_changelist"))
        context = self.admin_site.each_context(request) | self._case_context(request, item) | (extra_context or {})
        return TemplateResponse(request, "admin/booru_moderation/case/case.html", context)

    def _case_context(self, request: HttpRequest, item: QueueItem) -> dict[str, Any]:
        reason = request.GET.get("reason") or None
        timeline = history.timeline(item, request.user)
        return {
            "opts": self.opts,
            "title": f"Post {item.post.id}",
            "item": item,
            "marks": marks(item),
            "tags": sorted(item.post.tags, key=lambda tag: (READING.index(tag.category), tag.name)),
            "opinions": [(opinion(view), view) for view in item.opinions],
            "timeline": timeline,
            "last_decision": next((view for view in timeline if view.undoable and not view.is_tag), None),
            "may_decide": may_decide(request.user),
            "may_tag": may_decide_tags(request.user, item.post),
            "may_enrol": request.user.has_perm(ENROL),
            "held_by_other": item.claimed_by is not None and item.claimed_by_id != request.user.pk,
            "held_by_me": item.claimed_by is not None and item.claimed_by_id == request.user.pk,
            "reason": reason or "",
            "case_query": case_query(reason),
            "is_nav_sidebar_enabled": False,
            **self._place(item, reason),
        }

    def _place(self, item: QueueItem, reason: str | None) -> dict[str, Any]:
        """Where the case stands in the queue and what lies on both sides of it."""
        case = Case.objects.get(pk=item.case_id)
        waiting: CaseQuerySet = selectors.queue(reason=reason)
        following, previous = waiting.behind(case).first(), waiting.before(case).first()
        return {
            "place": waiting.before(case).count() + 1,
            "waiting": waiting.count(),
            "following_url": case_url(following.pk, reason) if following else None,
            "previous_url": case_url(previous.pk, reason) if previous else None,
        }


def opinion(view: SuggestionView) -> str:
    """A rating or grade as the words on its chip."""
    if view.category is Category.RATING and view.name in set(Rating):
        return f"rate it {RATINGS[view.name]}"
    return f"{view.category}: {view.name}"
