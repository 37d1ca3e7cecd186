"""The verbs behind the queue's buttons: POST only, each one service call, then back to where the moderator works."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from typing import Any
from urllib.parse import urlencode

from django.contrib import messages
from django.contrib.admin import AdminSite
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, JsonResponse
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html
from django.views.decorators.http import require_POST

from booru_ml.admin.forms import number
from booru_ml.errors import BooruError, InvalidInput, NotPermitted
from embeddings import services as embeddings
from embeddings.selectors import ENROL
from moderation import services, states
from moderation.models import Case, Flag
from moderation.permissions import may_decide, may_view
from tagging import services as tagging

PREFIX = "booru_moderation_case"
DONE = {states.APPROVE: "Approved", states.REJECT: "Rejected"}
TAG_VERBS: dict[str, Callable[..., Any]] = {"accept": tagging.accept, "reject": tagging.reject}


class VerbViews:
    """Mixed into the queue's ``ModelAdmin``."""

    admin_site: AdminSite

    def verb_urls(self) -> list[URLPattern]:
        routes: dict[str, Any] = {
            "decide/": self.bulk_view,
            "undo/": self.undo_view,
            "next/": self.next_view,
            "<int:case_id>/decide/": self.decide_view,
            "<int:case_id>/skip/": self.skip_view,
            "<int:case_id>/claim/": self.claim_view,
            "<int:case_id>/release/": self.release_view,
            "<int:case_id>/suggestions/<int:suggestion_id>/<str:verb>/": self.suggestion_view,
            "<int:case_id>/tag-decisions/<int:decision_id>/undo/": self.tag_undo_view,
            "<int:case_id>/example/": self.example_view,
        }
        return [
            path(route, self.admin_site.admin_view(require_POST(view)), name=f"{PREFIX}_{view.__name__[:-5]}")
            for route, view in routes.items()
        ]

    # --- The queue ---

    def bulk_view(self, request: HttpRequest) -> HttpResponse:
        """``one`` is a card's own button (``verb:id:version``); else ``verb`` counts for all ticked ``case``s."""
        _require(may_decide(request.user))
        with Shown(request):
            if one := request.POST.get("one"):
                verb, _, chosen = one.partition(":")
                cases = [_case_and_version(chosen)]
            else:
                verb = request.POST.get("verb", "")
                cases = [_case_and_version(value) for value in request.POST.getlist("case")]
            if not cases:
                raise InvalidInput("Tick at least one case first.")
            outcome = services.decide_many(verb=verb, cases=cases, actor=request.user)
            _tell(request, DONE[verb], outcome)
        return _to_list(request)

    def undo_view(self, request: HttpRequest) -> HttpResponse:
        _require(may_decide(request.user))
        with Shown(request):
            outcome = services.undo_many(
                decision_ids=[number(value) for value in request.POST.getlist("decision")], actor=request.user
            )
            for _, error in outcome.refused:
                messages.error(request, error.message)
            if len(outcome.done) == 1:
                (undo,) = outcome.done
                messages.success(request, f"Took the decision on post {undo.case.post_id} back: it is open again.")
                return HttpResponseRedirect(case_url(undo.case_id, _reason(request)))
            if outcome.done:
                messages.success(request, f"Took {len(outcome.done)} decisions back: the cases are open again.")
        return _to_list(request)

    def next_view(self, request: HttpRequest) -> HttpResponse:
        """Claims the most urgent free case and opens it."""
        _require(may_decide(request.user))
        return self._to_next(request, None)

    # --- One case ---

    def decide_view(self, request: HttpRequest, case_id: int) -> HttpResponse:
        _require(may_decide(request.user))
        with Shown(request):
            verb = request.POST.get("verb", "")
            if verb not in DONE:
                raise InvalidInput("Choose approve or reject.")
            decide = services.approve if verb == states.APPROVE else services.reject
            decision = decide(
                case_id=case_id,
                actor=request.user,
                version=number(request.POST.get("version")),
                note=request.POST.get("note", "").strip(),
            )
            _say_done(request, DONE[verb], [decision])
            return self._to_next(request, decision.case)
        return HttpResponseRedirect(case_url(case_id, _reason(request)))

    def skip_view(self, request: HttpRequest, case_id: int) -> HttpResponse:
        _require(may_decide(request.user))
        with Shown(request):
            return self._to_next(request, services.release(case_id=case_id, actor=request.user))
        return self._to_next(request, Case.objects.filter(pk=case_id).first())

    def claim_view(self, request: HttpRequest, case_id: int) -> HttpResponse:
        """For the page's script (JSON answer) and for the plain button."""
        _require(may_decide(request.user))
        if request.headers.get("Accept") == "application/json":
            try:
                case = services.claim(case_id=case_id, actor=request.user)
            except BooruError as error:
                body = {"code": error.code, "message": error.message, "extra": error.extra}
                return JsonResponse(body, status=error.status)
            return JsonResponse({"claimed_until": case.claimed_until})
        with Shown(request):
            services.claim(case_id=case_id, actor=request.user)
        return HttpResponseRedirect(case_url(case_id, _reason(request)))

    def release_view(self, request: HttpRequest, case_id: int) -> HttpResponse:
        _require(may_decide(request.user))
        with Shown(request):
            services.release(case_id=case_id, actor=request.user)
        return _to_list(request)

    def suggestion_view(self, request: HttpRequest, case_id: int, suggestion_id: int, verb: str) -> HttpResponse:
        _require(may_view(request.user))
        with Shown(request):
            if verb not in TAG_VERBS:
                raise InvalidInput("Suggestions are accepted or rejected.")
            TAG_VERBS[verb](suggestion_id=suggestion_id, actor=request.user)
        return HttpResponseRedirect(case_url(case_id, _reason(request)) + "#suggestions")

    def tag_undo_view(self, request: HttpRequest, case_id: int, decision_id: int) -> HttpResponse:
        _require(may_view(request.user))
        with Shown(request):
            tagging.undo(decision_id=decision_id, actor=request.user)
        return HttpResponseRedirect(case_url(case_id, _reason(request)) + "#suggestions")

    def example_view(self, request: HttpRequest, case_id: int) -> HttpResponse:
        """The picture, or one of its faces, becomes an example of a character or artist."""
        if not request.user.has_perm(ENROL):
            raise PermissionDenied("The permission to enrol characters and artists is missing.")
        with Shown(request):
            chosen = embeddings.parse_references(request.POST.get("show", ""))
            if {item.post_id for item in chosen} != set(
                Case.objects.filter(pk=case_id).values_list("post_id", flat=True)
            ):
                raise InvalidInput("Choose the picture or one of its faces.")
            subject = embeddings.enrol(
                name=request.POST.get("name", ""),
                category=request.POST.get("category", ""),
                posts=chosen,
                actor=request.user,
            )
            address = reverse("admin:booru_embeddings_subject_pictures", args=[subject.pk])
            said = '{} is known by this picture, too. <a href="{}">Its pictures, and undo</a>'
            messages.success(request, format_html(said, subject.name, address))
        return HttpResponseRedirect(case_url(case_id, _reason(request)) + "#example")

    def _to_next(self, request: HttpRequest, after: Case | None) -> HttpResponse:
        reason = _reason(request)
        case = services.claim_next(actor=request.user, after=after, reason=reason)
        if case is not None:
            return HttpResponseRedirect(case_url(case.pk, reason))
        messages.info(request, "That was the last free case of the queue.")
        return _to_list(request)


def case_query(reason: str | None) -> str:
    """The query string that keeps the queue's filter while going from case to case."""
    return "?" + urlencode({"reason": reason}) if reason in Flag.Reason.values else ""


def case_url(case_id: int, reason: str | None = None) -> str:
    return reverse(f"admin:{PREFIX}_change", args=[case_id]) + case_query(reason)


class Shown(AbstractContextManager[None]):
    """Shows our own errors as messages, and goes on behind the block; a missing right is a 403."""

    def __init__(self, request: HttpRequest) -> None:
        self.request = request

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> bool:
        if isinstance(error, NotPermitted):
            raise PermissionDenied(error.message) from error
        if isinstance(error, BooruError):
            messages.error(self.request, error.message)
            return True
        return False


def _require(allowed: bool) -> None:
    if not allowed:
        raise PermissionDenied("The permission to decide cases is missing.")


def _reason(request: HttpRequest) -> str | None:
    reason = request.POST.get("reason")
    return reason if reason in Flag.Reason.values else None


def _to_list(request: HttpRequest) -> HttpResponse:
    return HttpResponseRedirect(reverse(f"admin:{PREFIX}_changelist") + case_query(_reason(request)))


def _tell(request: HttpRequest, done: str, outcome: services.BulkOutcome) -> None:
    if outcome.done:
        _say_done(request, done, outcome.done)
    for case_id, error in outcome.refused[:5]:
        messages.warning(request, f"Case {case_id}: {error.message}")
    if (more := len(outcome.refused) - 5) > 0:
        messages.warning(request, f"{more} more cases were left as they are.")


def _say_done(request: HttpRequest, done: str, decisions: Iterable[Any]) -> None:
    """The message that carries its own undo: the decisions' ids travel as tags (see ``undo_ids``)."""
    decisions = list(decisions)
    what = f"post {decisions[0].case.post_id}" if len(decisions) == 1 else f"{len(decisions)} posts"
    ids = "-".join(str(decision.pk) for decision in decisions)
    messages.success(request, f"{done} {what}.", extra_tags=f"undo-{ids}")


def _case_and_version(text: str) -> tuple[int, int | None]:
    case_id, _, version = text.partition(":")
    return number(case_id), number(version)
