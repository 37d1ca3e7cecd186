"""Which old posts need a look, how fast they may be queued, and how long that takes. Pure.

``booru_ml.pipeline.feeder`` carries it out.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from booru_ml.errors import InvalidInput
from booru_ml.models import AnalysisJob, Backfill

BURST = timedelta(minutes=1)
"""For how long an unused rate is saved up."""
LEAST_RATE, MOST_RATE = 1 / (24 * 60), 1e6
"""Pictures a minute."""
PICTURE_FAULTS = frozenset({"picture_missing"})
"""Codes of jobs that were given up for a reason that no model can change."""
SUPERSEDED = "superseded"
"""Code of jobs that another one of the same picture answers for."""

State, JobState = Backfill.State, AnalysisJob.State
_RATE = re.compile(r"(\d+(?:\.\d+)?) ?/ ?(s|sec|second|min|minute|h|hour)")
_PER_MINUTE = {"s": 60.0, "m": 1.0, "h": 1 / 60}


class Verdict(StrEnum):
    """What a backfill does with a post."""

    NEEDED = "needed"
    AGAIN = "again"
    """Its job of this very version runs once more: refused then, or another version spoke since (it was promoted, and
    rolled back)."""
    KNOWN = "known"
    """Analysed last by this version, or waiting for it."""
    REFUSED = "refused"
    """Refused earlier for what the file is; no model changes that."""
    OTHER = "other"
    """No picture, or last analysed by another version than the one asked for."""


@dataclass(frozen=True, slots=True)
class Past:
    """One job of a post's current content."""

    pk: int
    version: str
    state: str
    code: str
    finished_at: datetime | None


@dataclass(frozen=True, slots=True)
class Order:
    """What is to be analysed; ``per_minute`` may change while it is carried out, the rest says which order it is."""

    since: datetime | None = None
    tags: tuple[str, ...] = ()
    limit: int | None = None
    model: str = ""
    refused: bool = False
    per_minute: float | None = None


def judge(past: Sequence[Past], *, version: str, model: str = "", refused: bool = False) -> tuple[Verdict, int | None]:
    """What to do with a post whose current content has these jobs, and which job runs again for ``AGAIN``."""
    ended = sorted(
        (job for job in past if job.finished_at and job.code != SUPERSEDED), key=lambda job: (job.finished_at, job.pk)
    )
    looked = [job for job in ended if job.state in (JobState.DONE, JobState.REFUSED)]
    if model and not (looked and looked[-1].version.startswith(model)):
        return Verdict.OTHER, None
    if any(job.state in (JobState.QUEUED, JobState.RUNNING) for job in past):
        return Verdict.KNOWN, None  # Whichever version it asked for: a worker takes it over for its own.
    mine = next((job for job in past if job.version == version), None)
    if mine and mine.state == JobState.DONE:
        return (Verdict.KNOWN, None) if looked and looked[-1].pk == mine.pk else (Verdict.AGAIN, mine.pk)
    if ended and (ended[-1].state == JobState.REFUSED or ended[-1].code in PICTURE_FAULTS):
        if not refused:
            return Verdict.REFUSED, None
        return (Verdict.AGAIN, mine.pk) if mine else (Verdict.NEEDED, None)
    return (Verdict.KNOWN, None) if mine else (Verdict.NEEDED, None)


def per_minute(text: str) -> float:
    """``30/min``, ``2/s`` or ``5000/h`` as pictures a minute. Raises ``InvalidInput``."""
    match = _RATE.fullmatch(text.strip().lower())
    rate = float(match[1]) * _PER_MINUTE[match[2][0]] if match else 0.0
    if not LEAST_RATE <= rate <= MOST_RATE:
        raise InvalidInput(f"A rate is something like 30/min, 2/s or 5000/h, not {text[:40]!r}.")
    return rate


def allowance(rate: float, *, paid_until: datetime, now: datetime) -> int:
    """How many pictures ``rate`` (a minute) allows now, if it is used up to ``paid_until``."""
    return max(0, math.floor((now - max(paid_until, now - _burst(rate))).total_seconds() * rate / 60 + 1e-6))


def paid(count: int, rate: float, *, paid_until: datetime, now: datetime) -> datetime:
    """Up to when the rate is used up once ``count`` more pictures were queued."""
    return max(paid_until, now - _burst(rate)) + timedelta(minutes=count / rate)


def _burst(rate: float) -> timedelta:
    """No less than a picture takes, or none would ever be saved up."""
    return max(BURST, timedelta(minutes=1 / rate))


def goal(order: Backfill) -> int:
    """How far the order goes: in pictures where it has a limit, else in posts."""
    if order.limit and order.state == State.FINISHED:
        return order.queued  # which may be fewer: no more needed it
    return min(order.limit, order.total) if order.limit else order.total


def reached(order: Backfill, *, waiting: int) -> int:
    """How far it is: everything that it passed but what still waits for a worker."""
    if order.state == State.FINISHED and not waiting:
        return goal(order)
    return max(0, min(goal(order), (order.queued if order.limit else order.passed) - waiting))


def eta_seconds(order: Backfill, *, waiting: int, rate: float) -> float | None:
    """Until all is analysed, at ``rate`` pictures a minute; None where that cannot be told.

    Of the posts ahead, as large a part is expected to need a look as of those passed; all where the order began anew,
    which keeps what it queued and forgets what it passed.
    """
    if order.limit:
        ahead = float(max(0, order.limit - order.queued))
    else:
        ahead = max(0, order.total - order.passed) * (min(1.0, order.queued / order.passed) if order.passed else 1.0)
    if order.state not in (State.RUNNING, State.PAUSED):
        ahead = 0.0
    if order.per_minute and ahead:
        rate = min(rate, order.per_minute)
    left = ahead + waiting
    return 0.0 if not left else 60 * left / rate if rate else None
