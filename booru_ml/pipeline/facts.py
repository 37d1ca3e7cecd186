"""What the job rows say about the queue, in a few indexed queries: status, metrics, readiness and the admin's page all
ask here, so that they agree.

At 10^6 rows every query but the counts of waiting and finished rows reads a few index entries; those two read an index
alone, without its table.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from datetime import timedelta
from typing import Any

from django.db.models import Count, Q, QuerySet
from django.db.models.functions import Now

from booru_ml.models import AnalysisJob, Worker
from booru_ml.pipeline import backfill, orders
from booru_ml.pipeline.figures import (
    RATE_MINUTES,
    BackfillFacts,
    FailureGroup,
    QueueFacts,
    StuckFacts,
    WorkerFacts,
)
from booru_ml.pipeline.outbox import database

State, Priority = AnalysisJob.State, AnalysisJob.Priority
LISTED_FAILURES = 10
LISTED_GROUPS = 20
SAMPLES = 5
LONGEST_WAIT = 120.0
"""Seconds that a fresh upload may be due, and that the whole queue may stand still, before that counts as a fault."""
LONGEST_WORK = 60.0
"""Seconds that a job may be in work, decoding and waiting for its batch included."""


def queue_facts() -> QueueFacts:
    jobs = _jobs()
    queued = Counter(dict(jobs.filter(state=State.QUEUED).values_list("priority").annotate(n=Count("*")).order_by()))
    running = Counter(dict(jobs.filter(state=State.RUNNING).values_list("priority").annotate(n=Count("*")).order_by()))
    failed = jobs.failed().values_list("state", "code").annotate(number=Count("*")).order_by()
    reasons = {(state, code): number for state, code, number in failed}
    states = dict.fromkeys(State.values, 0) | {
        State.QUEUED.value: queued.total(),
        State.RUNNING.value: running.total(),
        State.DONE.value: jobs.filter(state=State.DONE).count(),
    }
    for (state, _), number in reasons.items():
        states[state] += number
    unfinished = {(State.QUEUED.value, priority): number for priority, number in queued.items()}
    unfinished |= {(State.RUNNING.value, priority): number for priority, number in running.items()}
    ages = {priority: _age(priority) for priority in queued}
    last_minute, last_minutes = _finished_lately()
    return QueueFacts(
        states=states,
        unfinished=unfinished,
        reasons=reasons,
        ages=ages,
        retrying=dict(jobs.retried().values_list("code").annotate(n=Count("*")).order_by()),
        stuck=_stuck(fresh=queued[Priority.FRESH]),
        uploaders_over_limit=_held().count() if queued[Priority.HELD] else 0,
        last_minute=last_minute,
        last_minutes=last_minutes,
        oldest_ready_seconds=oldest_ready_seconds(),
        workers=alive_workers(),
    )


def backfill_facts(queue: QueueFacts) -> BackfillFacts | None:
    """None on a board that never had one."""
    order = orders.latest()
    if order is None:
        return None
    waiting = sum(number for (_, priority), number in queue.unfinished.items() if priority == Priority.BACKFILL)
    return BackfillFacts(
        order=order,
        goal=backfill.goal(order),
        reached=backfill.reached(order, waiting=waiting),
        waiting=waiting,
        eta_seconds=backfill.eta_seconds(order, waiting=waiting, rate=queue.per_minute),
    )


def oldest_ready_seconds() -> float:
    """How long the row that waits longest has been due. Held and older posts wait by design while others are worked
    on, so they count only when the whole queue has not moved."""
    fresh = max(_age(Priority.FRESH), _lapsed_age())
    others = max(_age(priority) for priority in (Priority.BACKFILL, Priority.RERUN, Priority.HELD))
    return others if others > max(fresh, LONGEST_WAIT) and not _moved() else fresh


def alive_workers() -> tuple[WorkerFacts, ...]:
    return tuple(_workers(Worker.objects.using(database()).alive()))


def lost_workers() -> tuple[WorkerFacts, ...]:
    """Workers that vanished without taking their leave, for as long as their row is kept."""
    rows = Worker.objects.using(database())
    return tuple(_workers(rows.exclude(pk__in=rows.alive().values("pk")), alive=False))


def last_failures(limit: int = LISTED_FAILURES) -> list[AnalysisJob]:
    """The jobs that were given up last."""
    return list(_jobs().filter(state=State.QUARANTINED).order_by("-finished_at")[:limit])


def failure_groups(queue: QueueFacts) -> tuple[FailureGroup, ...]:
    """The largest groups of failures, each with its latest posts: given up, then tried again, then refused."""
    groups = queue.reasons | {(State.QUEUED.value, code): number for code, number in queue.retrying.items()}
    rank = [State.QUARANTINED, State.QUEUED, State.REFUSED]
    order = sorted(groups.items(), key=lambda item: (rank.index(State(item[0][0])), -item[1], item[0][1]))
    return tuple(
        FailureGroup(state, code, number, tuple(_failures(state, code)[:SAMPLES]))
        for (state, code), number in order[:LISTED_GROUPS]
    )


def _failures(state: str, code: str) -> Any:
    if state == State.QUEUED:
        return _jobs().retried().filter(code=code).order_by("-ready_at")
    return _jobs().filter(state=state, code=code).order_by("-finished_at")


def stuck_jobs(limit: int = LISTED_FAILURES) -> list[AnalysisJob]:
    """Those that stand still longest, with the database's ``now`` on each."""
    running = _jobs().filter(state=State.RUNNING).filter(_LAPSED | _slow())
    found = list(running.order_by("started_at").annotate(now=Now())[:limit])
    overdue = _fresh(ready_at__lt=_long_due()).order_by("-priority", "ready_at", "pk").annotate(now=Now())
    return found + list(overdue[: limit - len(found)])


def held_uploaders(limit: int = LISTED_FAILURES) -> list[tuple[str, int]]:
    """Who has most uploads held, and how many."""
    return [(row["uploader"], row["number"]) for row in _held().order_by("-number", "uploader")[:limit]]


def stage_seconds(sample: int = 500) -> dict[str, list[float]]:
    """Seconds per stage (and batch sizes) of the jobs that were finished last."""
    jobs = _jobs().filter(state=State.DONE).order_by("-finished_at")
    stages: dict[str, list[float]] = {}
    for timings in jobs.values_list("timings", flat=True)[:sample]:
        for stage, seconds in timings.items():
            stages.setdefault(stage, []).append(float(seconds))
    return stages


_LAPSED = Q(lease_until__lt=Now())


def _jobs() -> Any:
    return AnalysisJob.objects.using(database())


def _slow() -> Q:
    return Q(started_at__lt=Now() - timedelta(seconds=LONGEST_WORK))


def _line(priority: int) -> Any:
    return _jobs().filter(state=State.QUEUED, priority=priority)


def _fresh(**due: Any) -> Any:
    return _line(Priority.FRESH).filter(**due)


def _long_due() -> Any:
    return Now() - timedelta(seconds=LONGEST_WAIT)


def _stuck(*, fresh: int) -> StuckFacts:
    """Of ``fresh`` waiting uploads those are overdue that have not come in lately: these are few, however many wait."""
    lately = _fresh(ready_at__gte=_long_due()).count() if fresh else 0
    running = _jobs().filter(state=State.RUNNING)
    counts = running.aggregate(lapsed=Count("pk", filter=_LAPSED), slow=Count("pk", filter=~_LAPSED & _slow()))
    return StuckFacts(**counts, overdue=max(0, fresh - lately))


def _held() -> Any:
    held = _jobs().filter(state=State.QUEUED, priority=Priority.HELD)
    return held.values("uploader").annotate(number=Count("*")).order_by()


def _moved() -> bool:
    """Whether any picture came to an end lately."""
    return bool(_ended(LONGEST_WAIT).exists())


def _finished_lately() -> tuple[int, int]:
    minute = Q(finished_at__gt=Now() - timedelta(minutes=1))
    counts = _ended(60.0 * RATE_MINUTES).aggregate(one=Count("pk", filter=minute), all=Count("pk"))
    return counts["one"], counts["all"]


def _ended(seconds: float) -> Any:
    since = Now() - timedelta(seconds=seconds)
    return _jobs().filter(state__in=[State.DONE, State.REFUSED, State.QUARANTINED], finished_at__gt=since)


def _age(priority: int) -> float:
    """How long the first row of ``priority`` in the line has been due."""
    due = _line(priority).filter(ready_at__lte=Now())
    oldest = due.order_by("-priority", "ready_at", "pk").annotate(now=Now()).values_list("ready_at", "now").first()
    return max(0.0, (oldest[1] - oldest[0]).total_seconds()) if oldest else 0.0


def _lapsed_age() -> float:
    """How long ago the first lease ran out that nobody has taken over."""
    lapsed = _jobs().filter(state=State.RUNNING).filter(_LAPSED).order_by("lease_until")
    first = lapsed.annotate(now=Now()).values_list("lease_until", "now").first()
    return (first[1] - first[0]).total_seconds() if first else 0.0


def _workers(rows: QuerySet[Worker], *, alive: bool = True) -> Iterable[WorkerFacts]:
    for row in rows.annotate(now=Now()):
        age = (row.now - row.last_seen_at).total_seconds()
        yield WorkerFacts(row.name, row.pictures, row.batches, row.fault, age, row.pipeline_version, alive, row.behind)
