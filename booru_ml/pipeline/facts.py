"""What the job rows say about the queue, read in a few indexed queries: for status, metrics, readiness and admin."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.db.models import Count
from django.db.models.functions import Now

from booru_ml.models import AnalysisJob, Worker
from booru_ml.pipeline.outbox import database

State = AnalysisJob.State
LISTED_FAILURES = 10


@dataclass(frozen=True)
class WorkerFacts:
    name: str
    pictures: int
    batches: int
    fault: str
    seconds_since_seen: float


@dataclass(frozen=True)
class QueueFacts:
    """Counts by state; unfinished rows by (state, priority); reasons by (state, code); ages in seconds."""

    states: dict[str, int]
    unfinished: dict[tuple[str, int], int]
    reasons: dict[tuple[str, str], int]
    oldest_ready_seconds: float
    workers: tuple[WorkerFacts, ...]

    @property
    def working(self) -> tuple[WorkerFacts, ...]:
        return tuple(worker for worker in self.workers if not worker.fault)


def queue_facts() -> QueueFacts:
    jobs = AnalysisJob.objects.using(database())
    states = dict(jobs.values_list("state").annotate(Count("pk")))
    unfinished = jobs.unfinished().values_list("state", "priority").annotate(number=Count("pk"))
    failed = jobs.filter(state__in=[State.REFUSED, State.QUARANTINED])
    return QueueFacts(
        states={state: states.get(state, 0) for state in State.values},
        unfinished={(state, priority): number for state, priority, number in unfinished},
        reasons={
            (state, code): number for state, code, number in failed.values_list("state", "code").annotate(Count("pk"))
        },
        oldest_ready_seconds=_age(jobs.ready()),
        workers=alive_workers(),
    )


def oldest_ready_seconds() -> float:
    """How long the row that waits longest has been due."""
    return _age(AnalysisJob.objects.using(database()).ready())


def alive_workers() -> tuple[WorkerFacts, ...]:
    rows = Worker.objects.using(database()).alive().annotate(now=Now())
    return tuple(
        WorkerFacts(name, pictures, batches, fault, (now - seen).total_seconds())
        for name, pictures, batches, fault, now, seen in rows.values_list(
            "name", "pictures", "batches", "fault", "now", "last_seen_at"
        )
    )


def last_failures(limit: int = LISTED_FAILURES) -> list[AnalysisJob]:
    """The jobs that were given up last."""
    jobs = AnalysisJob.objects.using(database()).filter(state=State.QUARANTINED)
    return list(jobs.order_by("-finished_at")[:limit])


def stage_seconds(sample: int = 500) -> dict[str, list[float]]:
    """Seconds per stage (and batch sizes) of the jobs that were finished last."""
    jobs = AnalysisJob.objects.using(database()).filter(state=State.DONE).order_by("-finished_at")
    stages: dict[str, list[float]] = {}
    for timings in jobs.values_list("timings", flat=True)[:sample]:
        for stage, seconds in timings.items():
            stages.setdefault(stage, []).append(float(seconds))
    return stages


def _age(jobs: Any) -> float:
    oldest = jobs.order_by("ready_at").annotate(now=Now()).values_list("ready_at", "now").first()
    return max(0.0, (oldest[1] - oldest[0]).total_seconds()) if oldest else 0.0
