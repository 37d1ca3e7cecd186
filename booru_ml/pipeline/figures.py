"""What is told of the queue: values that ``booru_ml.pipeline.facts`` fills."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from booru_ml.models import AnalysisJob, Backfill

State, Priority = AnalysisJob.State, AnalysisJob.Priority
RATE_MINUTES = 5
"""Over how long the rate is averaged where the last minute saw no picture."""


@dataclass(frozen=True)
class WorkerFacts:
    name: str
    pictures: int
    batches: int
    fault: str
    seconds_since_seen: float
    pipeline_version: str = ""
    alive: bool = True
    behind: str = ""


@dataclass(frozen=True)
class StuckFacts:
    """Jobs that ought to have moved: ``lapsed``: the lease ran out and nobody took over; ``slow``: in work for longer
    than ``LONGEST_WORK``; ``overdue``: fresh uploads that wait for more than ``LONGEST_WAIT``."""

    lapsed: int
    slow: int
    overdue: int

    @property
    def total(self) -> int:
        return self.lapsed + self.slow + self.overdue


@dataclass(frozen=True)
class QueueFacts:
    """Counts by state; unfinished rows by (state, priority); reasons by (state, code), and by code of the jobs
    that were put back to be tried again; ages in seconds by priority; pictures that came to an end lately."""

    states: dict[str, int]
    unfinished: dict[tuple[str, int], int]
    reasons: dict[tuple[str, str], int]
    ages: dict[int, float]
    retrying: dict[str, int]
    stuck: StuckFacts
    uploaders_over_limit: int
    last_minute: int
    last_minutes: int
    oldest_ready_seconds: float
    workers: tuple[WorkerFacts, ...]

    @property
    def working(self) -> tuple[WorkerFacts, ...]:
        return tuple(worker for worker in self.workers if not worker.fault)

    @property
    def behind(self) -> tuple[WorkerFacts, ...]:
        """Workers that could not load the promoted models, and work with the former ones."""
        return tuple(worker for worker in self.workers if worker.behind)

    @property
    def waiting(self) -> int:
        return self.states[State.QUEUED]

    @property
    def held(self) -> int:
        return self.unfinished.get((State.QUEUED, Priority.HELD), 0)

    @property
    def per_minute(self) -> float:
        """Pictures a minute: of the last minute, or where it saw none, on average of the last ones."""
        return float(self.last_minute) or self.last_minutes / RATE_MINUTES

    @property
    def eta_seconds(self) -> float | None:
        """When all is done if it goes on like this; None where nothing moves."""
        left = self.states[State.QUEUED] + self.states[State.RUNNING]
        return 60.0 * left / self.per_minute if self.per_minute else None if left else 0.0


@dataclass(frozen=True)
class BackfillFacts:
    """The backfill under way, or the last one, with how far it is: ``reached`` of ``goal`` are worked off."""

    order: Backfill
    goal: int
    reached: int
    waiting: int
    eta_seconds: float | None

    @property
    def active(self) -> bool:
        return self.order.state in (Backfill.State.RUNNING, Backfill.State.PAUSED)

    @property
    def share(self) -> float:
        return self.reached / self.goal if self.goal else 1.0

    def as_dict(self) -> dict[str, Any]:
        return {
            "state": self.order.state,
            "wish": self.order.wish,
            "pipeline_version": self.order.pipeline_version,
            "goal": self.goal,
            "reached": self.reached,
            "posts": self.order.total,
            "passed": self.order.passed,
            "queued": self.order.queued,
            "waiting": self.waiting,
            "left_refused": self.order.left_refused,
            "eta_seconds": None if self.eta_seconds is None else round(self.eta_seconds),
            "fault": self.order.fault,
        }


@dataclass(frozen=True)
class FailureGroup:
    """Failures of one kind, and the latest of them as samples."""

    state: str
    code: str
    count: int
    samples: tuple[AnalysisJob, ...]

    @property
    def message(self) -> str:
        return self.samples[0].message if self.samples else ""
