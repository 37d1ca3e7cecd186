"""The queue at a glance: what waits, who works, what failed and why; and the verbs that set it right, POST only."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from django.apps import apps
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.translation import ngettext
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe

from booru_ml.admin.forms import number
from booru_ml.admin.read_only import ReadOnly
from booru_ml.conf import config, post_model
from booru_ml.errors import BooruError, InvalidInput
from booru_ml.models import AnalysisJob, Backfill, Queue
from booru_ml.pipeline import facts, orders, outbox
from booru_ml.pipeline.figures import QueueFacts

if TYPE_CHECKING:
    QueueAdminBase = admin.ModelAdmin[Queue]
else:
    QueueAdminBase = admin.ModelAdmin

VIEW, CHANGE = "booru_ml.view_analysisjob", "booru_ml.change_analysisjob"
PAGE, CONFIRM = "admin/booru_ml/queue/page.html", "admin/booru_ml/queue/confirm.html"
State, Priority = AnalysisJob.State, AnalysisJob.Priority
LINES = (
    (Priority.FRESH, "Fresh uploads"),
    (Priority.HELD, "Held uploads"),
    (Priority.RERUN, "Run again"),
    (Priority.BACKFILL, "Old posts"),
)
WHAT = {State.QUARANTINED.value: "Jobs that were given up", State.REFUSED.value: "Pictures that were refused"}
TURNS: dict[str, tuple[Callable[[], Backfill], str]] = {
    "pause": (orders.pause, "The backfill pauses; what waits already is worked off."),
    "resume": (orders.resume, "The backfill goes on."),
    "cancel": (orders.cancel, "The backfill is ended; what waits already is worked off."),
}


@dataclass(frozen=True)
class Line:
    """One priority's part of the queue; ``share`` of everything that waits, in percent."""

    label: str
    priority: int
    queued: int
    running: int
    age: float
    share: float


@admin.register(Queue)
class QueueAdmin(ReadOnly, QueueAdminBase):
    def has_module_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm(VIEW)

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return request.user.has_perm(VIEW)

    def get_urls(self) -> list[URLPattern]:
        routes: dict[str, tuple[Any, str]] = {
            "": (require_safe(self.page), "changelist"),
            "rerun/": (require_POST(self.rerun), "rerun"),
            "backfill/": (require_POST(self.backfill), "backfill"),
        }
        return [
            path(route, never_cache(self.admin_site.admin_view(view)), name=f"booru_ml_queue_{name}")
            for route, (view, name) in routes.items()
        ]

    def page(self, request: HttpRequest) -> HttpResponse:
        _require(request, VIEW)
        queue = facts.queue_facts()
        context = self.admin_site.each_context(request) | {
            "opts": self.opts,
            "title": "Job queue",
            "now": timezone.now(),
            "queue": queue,
            "lines": lines(queue),
            "worries": worries(queue),
            "given_up": queue.states[State.QUARANTINED],
            "refused": queue.states[State.REFUSED],
            "failures": facts.failure_groups(queue),
            "stuck": facts.stuck_jobs() if queue.stuck.total else [],
            "lost": facts.lost_workers(),
            "held": names(facts.held_uploaders()) if queue.held else [],
            "share": config().MAX_WAITING_PER_UPLOADER,
            "backfill": facts.backfill_facts(queue),
            "may_change": request.user.has_perm(CHANGE),
        }
        return TemplateResponse(request, PAGE, context)

    def rerun(self, request: HttpRequest) -> HttpResponse:
        """One job (``job``), a group (``state`` and ``code``) or a whole ``state``; asks first, and says how many."""
        _require(request, CHANGE)
        wish = request.POST
        try:
            job_id, state, code = wish.get("job", ""), wish.get("state", ""), wish.get("code")
            count = _count(job_id, state, code)
            if wish.get("confirm") == "yes":
                count = outbox.rerun(job_ids=[int(job_id)]) if job_id else outbox.rerun_failed(state=state, code=code)
                text = ngettext("%s job runs again.", "%s jobs run again.", count) % f"{count:,}"
                messages.add_message(request, messages.SUCCESS if count else messages.WARNING, text)
            elif count:
                context = self.admin_site.each_context(request) | {
                    "opts": self.opts,
                    "title": "Run again?",
                    "count": count,
                    "wish": {"job": job_id, "state": state} | ({} if code is None else {"code": code}),
                    "what": WHAT.get(state, ""),
                    "job": AnalysisJob.objects.get(pk=job_id) if job_id else None,
                    "code": code,
                }
                return TemplateResponse(request, CONFIRM, context)
            else:
                messages.warning(request, "There is nothing to run again any more.")
        except BooruError as error:
            messages.error(request, error.message)
        return _back()

    def backfill(self, request: HttpRequest) -> HttpResponse:
        _require(request, CHANGE)
        try:
            turn, said = TURNS.get(request.POST.get("verb", ""), (None, ""))
            if turn is None:
                raise InvalidInput("Choose pause, resume or cancel.")
            turn()
            messages.success(request, said)
        except BooruError as error:
            messages.error(request, error.message)
        return _back()


def lines(queue: QueueFacts) -> list[Line]:
    """The queue from the front; held uploads only where there are any."""
    count = queue.unfinished.get
    return [
        Line(
            label,
            priority.value,
            queued := count((State.QUEUED.value, priority.value), 0),
            count((State.RUNNING.value, priority.value), 0),
            queue.ages.get(priority.value, 0.0),
            100 * queued / queue.waiting if queue.waiting else 0.0,
        )
        for priority, label in LINES
        if priority != Priority.HELD or queue.held
    ]


def worries(queue: QueueFacts) -> list[str]:
    """What somebody has to look at now, worst first."""
    found = []
    if not queue.workers:
        found.append("No worker is at work: uploads wait. Start one with manage.py booru_worker.")
    elif not queue.working:
        found.append("Every worker has a fault.")
    if queue.behind:
        found.append(f"{len(queue.behind)} workers work with the former models: {queue.behind[0].behind}")
    if queue.oldest_ready_seconds > facts.LONGEST_WAIT:
        found.append(f"The oldest job has been waiting for {queue.oldest_ready_seconds:,.0f} s.")
    if queue.stuck.lapsed + queue.stuck.slow:
        found.append(f"{queue.stuck.lapsed + queue.stuck.slow:,} jobs in work do not move.")
    return found


def names(held: list[tuple[str, int]]) -> list[tuple[str, int]]:
    """Uploaders by the name that the board's own user model gives them, where it has one."""
    field: Any = config().FIELDS.get("uploader") and apps.get_model(post_model())._meta.get_field(
        config().FIELDS["uploader"]
    )
    if not field or not field.remote_field:
        return held
    people = field.related_model._base_manager.filter(**{f"{field.target_field.name}__in": [key for key, _ in held]})
    known = {str(getattr(person, field.target_field.attname)): str(person) for person in people}
    return [(known.get(key, key), number) for key, number in held]


def _count(job_id: str, state: str, code: str | None) -> int:
    """How many failures a wish is about. Raises ``InvalidInput`` for a damaged form."""
    jobs = AnalysisJob.objects.order_by()
    if job_id:
        return int(jobs.finished().filter(pk=number(job_id)).count())
    if state not in (State.REFUSED, State.QUARANTINED):
        raise InvalidInput("Choose a job, or whether the refused or the given up ones run again.")
    if code and not code.isprintable():
        raise InvalidInput("The form is damaged; reload the page and try again.")
    chosen = jobs.failed().filter(state=state)
    return int((chosen if code is None else chosen.filter(code=code)).count())


def _require(request: HttpRequest, permission: str) -> None:
    if not request.user.has_perm(permission):
        raise PermissionDenied


def _back() -> HttpResponse:
    return HttpResponseRedirect(reverse("admin:booru_ml_queue_changelist"))
