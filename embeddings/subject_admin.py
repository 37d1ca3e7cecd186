"""One subject's pictures as a grid, with its health and its history; each button is one verb that can be undone."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, QueryDict
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.views.decorators.http import require_POST, require_safe

from booru_ml.admin.forms import number
from booru_ml.admin.read_only import ReadOnly
from booru_ml.errors import BooruError, CheckpointError, InvalidInput, NotFound
from embeddings import selectors, services
from embeddings.models import Change, Subject

if TYPE_CHECKING:
    ChangeAdminBase = admin.ModelAdmin[Change]
else:
    ChangeAdminBase = admin.ModelAdmin

PAGE = "admin/booru_embeddings/subject/pictures.html"
SHOWN = 400
HISTORY = 20


class EnrolOnly(ReadOnly):
    """Whoever may enrol looks at it, and nobody else."""

    def has_enrol_permission(self, request: HttpRequest) -> bool:
        return bool(request.user.has_perm(selectors.ENROL))

    has_module_permission = has_enrol_permission

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self.has_enrol_permission(request)


class SubjectPages:
    """Mixed into the subjects' ``ModelAdmin``."""

    admin_site: admin.AdminSite
    opts: Any

    def page_urls(self) -> list[URLPattern]:
        routes: dict[str, tuple[Any, str]] = {
            "<int:subject_id>/pictures/": (require_safe(self.pictures_view), "pictures"),
            "<int:subject_id>/pictures/verb/": (require_POST(self.verb_view), "verb"),
        }
        return [
            path(route, self.admin_site.admin_view(view), name=f"booru_embeddings_subject_{name}")
            for route, (view, name) in routes.items()
        ]

    def pictures_view(self, request: HttpRequest, subject_id: int) -> HttpResponse:
        if not (request.user.has_perm(selectors.ENROL) or request.user.has_perm("booru_embeddings.view_subject")):
            raise PermissionDenied
        try:
            subject = selectors.subject(subject_id)
        except NotFound as error:
            messages.warning(request, error.message)
            return HttpResponseRedirect(reverse("admin:booru_embeddings_subject_changelist"))
        rows = selectors.supports(subject_id).order_by("-positive", "-id")
        checkups = _checkups(request, subject_id)
        context = self.admin_site.each_context(request) | {
            "opts": self.opts,
            "title": subject.name.replace("_", " "),
            "subject": subject,
            "views": _suspects_first(selectors.support_views(rows[:SHOWN], viewer=request.user), checkups),
            "more": max(rows.count() - SHOWN, 0),
            "checkups": checkups,
            "others": Subject.objects.filter(category=subject.category).exclude(pk=subject.pk).order_by("name")[:2000],
            "history": [(row, selectors.sentence(row)) for row in selectors.changes(subject_id=subject_id)[:HISTORY]],
            "may_enrol": request.user.has_perm(selectors.ENROL),
            "is_nav_sidebar_enabled": False,
        }
        return TemplateResponse(request, PAGE, context)

    def verb_view(self, request: HttpRequest, subject_id: int) -> HttpResponse:
        if not request.user.has_perm(selectors.ENROL):
            raise PermissionDenied
        address = reverse("admin:booru_embeddings_subject_pictures", args=[subject_id])
        try:
            verb, _, argument = request.POST.get("verb", "").partition(":")
            if verb not in VERBS:
                raise InvalidInput("Choose one of the buttons.")
            said, then = VERBS[verb](subject_id, argument, request.POST, request.user)
            messages.success(request, said)
            if then is not None:
                address = reverse("admin:booru_embeddings_subject_pictures", args=[then])
        except BooruError as error:
            messages.error(request, error.message)
        return HttpResponseRedirect(address)


Said = tuple[str, int | None]


def _remove(subject_id: int, argument: str, form: QueryDict, actor: Any) -> Said:
    """One picture's own button, or all that are ticked."""
    chosen = [number(argument)] if argument else _ticked(form)
    known = set(selectors.supports(subject_id).filter(pk__in=chosen).values_list("pk", flat=True))
    if not known:
        raise NotFound("These pictures are gone already.")
    for support_id in sorted(known):
        services.remove_support(support_id=support_id, actor=actor)
    return f"{len(known)} removed; the history below brings {'them' if len(known) > 1 else 'it'} back.", None


def _split(subject_id: int, _: str, form: QueryDict, actor: Any) -> Said:
    chosen = _ticked(form)
    made = services.split(subject_id=subject_id, support_ids=chosen, name=form.get("name", ""), actor=actor)
    return f"{len(chosen)} pictures are {made.name} now.", int(made.pk)


def _merge(subject_id: int, _: str, form: QueryDict, actor: Any) -> Said:
    subject = selectors.subject(subject_id)
    target = services.named(form.get("into", ""), subject.category)
    if target is None:
        raise NotFound(f"There is no {subject.category} {form.get('into')}.")
    services.merge(subject_id=subject_id, into_id=target.pk, actor=actor)
    return f"{subject.name} is part of {target.name} now; its history takes that back.", int(target.pk)


def _undo(subject_id: int, argument: str, form: QueryDict, actor: Any) -> Said:
    services.undo(change_id=number(argument), actor=actor)
    return "Taken back.", None


VERBS: dict[str, Callable[[int, str, QueryDict, Any], Said]] = {
    "remove": _remove,
    "split": _split,
    "merge": _merge,
    "undo": _undo,
}


def _ticked(form: QueryDict) -> list[int]:
    chosen = [number(text) for text in form.getlist("without")]
    if not chosen:
        raise InvalidInput("Tick the pictures first.")
    return chosen


def _checkups(request: HttpRequest, subject_id: int) -> tuple[Any, ...]:
    try:
        return services.checkup(subject_id)
    except CheckpointError as error:
        messages.warning(request, error.message)
        return ()


def _suspects_first(
    views: list[selectors.SupportView], checkups: tuple[Any, ...]
) -> list[tuple[selectors.SupportView, Any]]:
    """Each picture with what speaks against it; those to look at come first."""
    doubts = {item.support_id: item for checkup in checkups for item in checkup.suspicions}
    paired = [(view, doubts.get(view.id)) for view in views]
    return sorted(paired, key=lambda pair: pair[1] is None)


@admin.register(Change)
class ChangeAdmin(EnrolOnly, ChangeAdminBase):
    """The history: read and undone, never edited."""

    list_display = ("id", "sentence", "actor", "revision", "is_undone", "created_at")
    list_filter = ("verb", "category", "created_at")
    list_select_related = ("actor", "undone_by")
    search_fields = ("name__startswith",)
    search_help_text = "The beginning of a name"
    ordering = ("-id",)
    actions = ("undo",)
    fields = readonly_fields = ("verb", "name", "category", "actor", "revision", "delta", "undoes", "created_at")

    @admin.display(description="what")
    def sentence(self, row: Change) -> str:
        return selectors.sentence(row)

    @admin.display(description="taken back")
    def is_undone(self, row: Change) -> str:
        return "taken back" if hasattr(row, "undone_by") else ""

    @admin.action(description="Take back, the latest first", permissions=["enrol"])
    def undo(self, request: HttpRequest, queryset: QuerySet[Change]) -> None:
        for key in queryset.order_by("-id").values_list("pk", flat=True):
            try:
                services.undo(change_id=key, actor=request.user)
                self.message_user(request, f"Change {key} was taken back.", messages.SUCCESS)
            except BooruError as error:
                self.message_user(request, f"Change {key}: {error.message}", messages.WARNING)
