"""The dry run with its slider, and the searches of old posts that follow from it."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, QueryDict
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.views.decorators.http import require_POST

from booru_ml.admin.forms import number
from booru_ml.errors import BooruError, InvalidInput
from embeddings import selectors
from embeddings import services as embeddings
from embeddings.subject_admin import EnrolOnly
from tagging import enrolments, sweeps
from tagging.enrolments import Wish
from tagging.models import Sweep

if TYPE_CHECKING:
    SweepAdminBase = admin.ModelAdmin[Sweep]
else:
    SweepAdminBase = admin.ModelAdmin

PREVIEW = "admin/booru_tagging/sweep/preview.html"


@admin.register(Sweep)
class SweepAdmin(EnrolOnly, SweepAdminBase):
    list_display = ("__str__", "standing", "progress", "suggested", "withdrawn", "taken_back", "actor", "created_at")
    list_filter = ("state",)
    list_select_related = ("actor",)
    search_fields = ("name__startswith",)
    ordering = ("-id",)
    actions = ("pause", "resume", "cancel", "undo")

    @admin.display(description="state", ordering="state")
    def standing(self, row: Sweep) -> str:
        return f"{row.get_state_display()}: {row.fault}" if row.fault else str(row.get_state_display())

    @admin.display(description="progress")
    def progress(self, row: Sweep) -> SafeString:
        return format_html(
            '<progress max="{}" value="{}"></progress> {} of {} posts',
            max(row.total, row.passed, 1),
            row.total if row.state == Sweep.State.FINISHED else row.passed,
            row.passed,
            max(row.total, row.passed),
        )

    # --- Verbs ---

    @admin.action(description="Pause", permissions=["enrol"])
    def pause(self, request: HttpRequest, queryset: QuerySet[Sweep]) -> None:
        self._turn(request, queryset, sweeps.pause, "paused")

    @admin.action(description="Go on", permissions=["enrol"])
    def resume(self, request: HttpRequest, queryset: QuerySet[Sweep]) -> None:
        self._turn(request, queryset, sweeps.resume, "gone on with")

    @admin.action(description="End: what was suggested stays", permissions=["enrol"])
    def cancel(self, request: HttpRequest, queryset: QuerySet[Sweep]) -> None:
        self._turn(request, queryset, sweeps.cancel, "ended")

    @admin.action(description="Take back everything that it changed", permissions=["enrol"])
    def undo(self, request: HttpRequest, queryset: QuerySet[Sweep]) -> None:
        self._turn(request, queryset, sweeps.undo, "being taken back; decisions made meanwhile stay")

    def _turn(self, request: HttpRequest, rows: QuerySet[Sweep], verb: Callable[..., Sweep], done: str) -> None:
        for row in rows:
            try:
                verb(sweep_id=row.pk, actor=request.user)
                self.message_user(request, f"{row}: {done}.", messages.SUCCESS)
            except BooruError as error:
                self.message_user(request, f"{row}: {error.message}", messages.WARNING)

    # --- The dry run ---

    def get_urls(self) -> list[URLPattern]:
        routes = {"preview/": self.preview_view, "begin/": require_POST(self.begin_view)}
        names = {"preview/": "preview", "begin/": "begin"}
        return [
            path(route, self.admin_site.admin_view(view), name=f"booru_tagging_sweep_{names[route]}")
            for route, view in routes.items()
        ] + super().get_urls()

    def preview_view(self, request: HttpRequest) -> HttpResponse:
        """Shows what would be suggested; GET for somebody known, POST for anything that a form asks."""
        _require(request)
        try:
            wish = read(request.POST if request.method == "POST" else request.GET)
            found = enrolments.preview(wish)
        except BooruError as error:
            messages.error(request, error.message)
            return HttpResponseRedirect(_home(request))
        views = selectors.hit_views(found.hits, name=found.name, viewer=request.user)
        context = self.admin_site.each_context(request) | {
            "opts": self.opts,
            "title": f"What {found.name.replace('_', ' ')} would be found on",
            "found": found,
            "named": [view for view in views if view.hit.known],
            "nearly": [view for view in views if not view.hit.known][:24],
            "least": math.ceil(round(100 * found.threshold, 6)),
            "wish": wish,
            "show": enrolments.written(wish.show),
            "show_not": enrolments.written(wish.show_not),
            "is_nav_sidebar_enabled": False,
        }
        return TemplateResponse(request, PREVIEW, context)

    def begin_view(self, request: HttpRequest) -> HttpResponse:
        _require(request)
        try:
            wish = read(request.POST)
            order = enrolments.carry_out(wish, actor=request.user, threshold=_percent(request.POST.get("threshold")))
        except BooruError as error:
            messages.error(request, error.message)
            return HttpResponseRedirect(_home(request))
        messages.success(
            request,
            f"{order.name} is enabled, and looked for on all {order.total} posts in the background. This list shows "
            "how far it is; “Take back” undoes all of it.",
        )
        return HttpResponseRedirect(reverse("admin:booru_tagging_sweep_changelist"))


def read(form: QueryDict) -> Wish:
    """A wish as the forms send it; pictures ticked as ``wrong`` join those that do not show it."""
    subject, merged, wrong = form.get("subject"), form.get("merged"), " ".join(form.getlist("wrong"))
    return Wish(
        subject_id=number(subject) if subject else None,
        name=form.get("name", ""),
        category=form.get("category") or "character",
        show=embeddings.parse_references(form.get("show", "")),
        show_not=embeddings.parse_references(f"{form.get('show_not', '')} {wrong}"),
        without=tuple(number(text) for text in form.getlist("without") if text),
        merged_id=number(merged) if merged else None,
    )


def _percent(text: str | None) -> float | None:
    try:
        return None if not text else float(text) / 100
    except ValueError:
        raise InvalidInput("The threshold is a number of percent.") from None


def _require(request: HttpRequest) -> None:
    if not request.user.has_perm(selectors.ENROL):
        raise PermissionDenied


def _home(request: HttpRequest) -> str:
    """Where a wish that cannot be fulfilled came from, on this site."""
    try:
        subject = number((request.POST or request.GET).get("subject"))
        return reverse("admin:booru_embeddings_subject_change", args=[subject])
    except InvalidInput:
        return reverse("admin:booru_embeddings_subject_add")
