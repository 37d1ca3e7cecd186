"""Models in the admin: what is registered, each with its card; put in force and taken back, POST only."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST

from booru_ml import promotions, registry
from booru_ml.admin.read_only import ReadOnly
from booru_ml.checkpoint import Checkpoint, files
from booru_ml.checkpoint.files import Folder
from booru_ml.errors import BooruError
from booru_ml.models import ModelVersion, Promotion
from booru_ml.registry import Selection

if TYPE_CHECKING:
    VersionAdminBase = admin.ModelAdmin[ModelVersion]
    PromotionAdminBase = admin.ModelAdmin[Promotion]
else:
    VersionAdminBase = PromotionAdminBase = admin.ModelAdmin

PROMOTE = "booru_ml.promote_modelversion"
PAGE = "admin/booru_ml/modelversion/page.html"
WITHDRAW_SECONDS = 5.0
"""How long the page withdraws suggestions itself; workers go on with the rest."""


@admin.register(ModelVersion)
class ModelVersionAdmin(ReadOnly, VersionAdminBase):
    list_display = ("version", "in_force_for", "origin", "verified_at", "first_seen_at")
    search_fields = ("version", "sha256", "origin")
    ordering = ("name", "-first_seen_at")

    @admin.display(description="in force for")
    def in_force_for(self, row: ModelVersion) -> str:
        return ", ".join(spoken(registry.wanted()).get(row.version, ())) or "–"

    def get_urls(self) -> list[URLPattern]:
        routes = [
            path("<path:object_id>/promote/", self._guarded(self.promote), name="booru_ml_modelversion_promote"),
            path("rollback/", self._guarded(self.rollback), name="booru_ml_modelversion_rollback"),
        ]
        return routes + super().get_urls()

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """The model's page: its card, what it is in force for, its history, and the forms."""
        row = self.row(request, object_id)
        tasks, card, trouble = described(row)
        last = promotions.standing(Promotion.objects.in_force())
        context = self.admin_site.each_context(request) | {
            "opts": self.opts,
            "title": row.version,
            "row": row,
            "tasks": tasks,
            "card": card,
            "trouble": trouble,
            "in_force": spoken(registry.look()).get(row.version, ()),
            "history": Promotion.objects.filter(candidate=row).select_related("actor"),
            "may_promote": request.user.has_perm(PROMOTE),
            "last": last if last and last.candidate_id == row.pk else None,
        }
        return TemplateResponse(request, PAGE, context)

    def promote(self, request: HttpRequest, object_id: str) -> HttpResponse:
        row = self.get_object(request, object_id)
        if row is None:
            raise Http404
        try:
            done = promotions.promote(
                version=row.version,
                tasks=request.POST.getlist("task"),
                actor=request.user,
                note=request.POST.get("note", ""),
                reanalyse="reanalyse" in request.POST,
            )
            messages.success(request, f"{done}. Workers go over as soon as each has loaded it.")
            if promotions.guesses(row, done.tasks):
                messages.warning(request, promotions.GUESSES)
        except BooruError as error:
            messages.error(request, error.message)
        return HttpResponseRedirect(reverse("admin:booru_ml_modelversion_change", args=[row.pk]))

    def rollback(self, request: HttpRequest) -> HttpResponse:
        keep = "keep" in request.POST
        try:
            done = promotions.rollback(
                actor=request.user,
                note=request.POST.get("note", ""),
                reanalyse="reanalyse" in request.POST,
                withdraw=not keep,
            )
            rest = "" if keep or promotions.withdraw(done, seconds=WITHDRAW_SECONDS) else " Workers withdraw the rest."
            done.refresh_from_db()
            messages.success(request, f"{done}. {done.withdrawn:,} suggestions were withdrawn.{rest}")
        except BooruError as error:
            messages.error(request, error.message)
        return HttpResponseRedirect(reverse("admin:booru_ml_promotion_changelist"))

    def _guarded(self, view: Any) -> Any:
        def guarded(request: HttpRequest, **kwargs: Any) -> HttpResponse:
            if not request.user.has_perm(PROMOTE):
                raise PermissionDenied
            return view(request, **kwargs)  # type: ignore[no-any-return]

        return never_cache(self.admin_site.admin_view(require_POST(guarded)))


@admin.register(Promotion)
class PromotionAdmin(ReadOnly, PromotionAdminBase):
    """The history: who put what in force and took it back, and when."""

    list_display = ("created_at", "verb", "candidate", "for_tasks", "actor", "note", "withdrawn", "pipeline_version")
    list_filter = ("verb",)
    list_select_related = ("candidate", "actor")
    ordering = ("-id",)

    @admin.display(description="for")
    def for_tasks(self, row: Promotion) -> str:
        return ", ".join(row.tasks)


def spoken(selection: Selection) -> dict[str, list[str]]:
    """What is in force, by version; nothing where a folder cannot be read."""
    try:
        found = selection.checkpoints
        return {item.version: sorted(task for task in item.tasks if item.gives(task)) for item in found}
    except BooruError:
        return {}


def described(row: ModelVersion) -> tuple[list[str], str, str]:
    """Its tasks, its card as plain text, and why its folder cannot be read (empty where it can)."""
    try:
        checkpoint = Checkpoint.read(row.folder)
        folder = Folder(row.folder)
        return sorted(checkpoint.tasks), folder.text(files.CARD) if files.CARD in folder else "", ""
    except BooruError as error:
        return [], "", error.message
