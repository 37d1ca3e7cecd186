"""Job rows as a worker sees them: claimed under a lease, kept, given back, failed or finished.

All times are the database's. A row is written only while its lease token is still ours, so a worker that was asleep
for too long changes nothing.
"""

from __future__ import annotations

import logging
import uuid
from collections.abc import Callable, Iterable, Sequence
from datetime import timedelta
from typing import Any

from django.db import IntegrityError, connections, transaction
from django.db.models import F, Q, QuerySet
from django.db.models.functions import Greatest, Now
from django.db.models.sql import UpdateQuery

from booru_ml.conf import config
from booru_ml.models import AnalysisJob
from booru_ml.pipeline import pulse
from booru_ml.pipeline.backfill import SUPERSEDED
from booru_ml.pipeline.outbox import database, write_old
from booru_ml.statements import Statement, by_index, kept, slot, slots, update
from booru_ml.types import Analysis

logger = logging.getLogger(__name__)

State = AnalysisJob.State

INT_MAX = 2**31 - 1
SMALLEST_SHARE = 2
"""Rows that are not divided further: a batch has costs of its own, and a forward of a single row is the dearest."""


def any_ready() -> bool:
    """Asked by every idle worker all the time."""
    return bool(_ready(database(), 1).rows())


def uploads_wait() -> bool:
    """Whether the first in line is an upload, for which all else keeps still."""
    return any(priority >= AnalysisJob.Priority.HELD for (priority,) in _ready(database(), 1).rows())


def claim(
    *, limit: int, version: str, peers: int = 1, suspects: bool = True, lags: Callable[[bool], str] = lambda sure: ""
) -> list[AnalysisJob]:
    """Takes up to ``limit`` rows, the most urgent; attempts and lease are committed before this returns.

    Priorities are not mixed: a fresh upload does not wait for a batch that was filled up with old posts. A row that was
    attempted before is a suspect: it may have killed the worker, so it is taken alone, and only where ``suspects``
    allows; otherwise nothing is returned while one is first in the line. Rows that asked for another version are taken
    over by ``version``. ``peers``: how many workers there are: where little waits, the others find their share of it.
    ``lags`` says the version in force, where ``version`` is a former one: then only uploads are taken over, and each is
    queued for that version, too. It may be a moment behind itself, but for ``sure``.
    """
    using, newer = database(), lags(False)
    waiting = len(_ready(using, limit * peers).rows())
    if not waiting:
        return []
    limit = min(limit, max(SMALLEST_SHARE, -(-waiting // peers)))
    token = pulse.token()
    with transaction.atomic(using=using):
        # Writing first takes SQLite's write lock, so that what is read next stays true until the commit.
        _quarantine_worn_out(using)
        picked: list[AnalysisJob] = _first(using, limit, version if newer else "").rows()
        if picked and picked[0].attempts:
            picked = picked[:1] if suspects else []
        picked = [job for job in picked if not job.attempts] or picked
        picked = [job for job in picked if job.priority == picked[0].priority]
        taken_over = [job for job in picked if job.pipeline_version != version]
        if taken_over and not newer and lags(True):
            picked = []  # Whoever queued these knows of other models: look at the line again as one that lags.
        picked = [job for job in picked if job.pipeline_version == version or _adopt(job, version, newer)]
        if newer and taken_over:
            write_old({job.post_id: job.content_key for job in taken_over}, version=newer)
        _take(using, config().LEASE_SECONDS).run_each([{"id": job.pk, "lease_token": token} for job in picked])
    if taken_over and not picked:
        return claim(limit=limit, version=version, peers=peers, suspects=suspects, lags=lags)
    for job in picked:
        job.state, job.lease_token, job.attempts = State.RUNNING, token, job.attempts + 1
    return picked


def renew(tokens: Iterable[uuid.UUID]) -> int:
    """Extends the leases that are still ours; returns how many rows they hold."""
    held = AnalysisJob.objects.using(database()).filter(state=State.RUNNING, lease_token__in=list(tokens))
    return held.update(lease_until=Now() + timedelta(seconds=config().LEASE_SECONDS))


def hold(jobs: Sequence[AnalysisJob]) -> set[int]:
    """Locks, inside the caller's transaction, the rows among ``jobs`` whose lease is still ours; returns their ids."""
    every = {job.pk for job in jobs}
    held = _hold(database(), config().LEASE_SECONDS).run(id=every, lease_token={job.lease_token for job in jobs})
    return every if held == len(every) else set(_ours(jobs).values_list("pk", flat=True))


def free(process: int) -> int:
    """Ends the leases of a process that died, as its ``pulse`` says; returns of how many rows.

    Only of rows that were tried this once. Others may be what it died of, or memory may be short: they keep the pause
    that their lease is.
    """
    rows = AnalysisJob.objects.using(database()).filter(state=State.RUNNING, attempts=1)
    held = dict(rows.exclude(lease_token=None).values_list("pk", "lease_token"))
    left = {pk: token for pk, token in held.items() if token and pulse.taken_by(token) == process}
    if not left:
        return 0
    mine = rows.filter(pk__in=list(left), lease_token__in=set(left.values()))
    return mine.update(lease_until=Now() - timedelta(seconds=1))


def give_back(jobs: Sequence[AnalysisJob], *, code: str = "", message: str = "", seconds: float = 0) -> None:
    """Returns unfinished rows as if they had not been taken: the fault was not theirs."""
    if jobs:
        _ours(jobs).update(
            state=State.QUEUED,
            attempts=Greatest(F("attempts") - 1, 0),
            lease_token=None,
            lease_until=None,
            code=code,
            message=message,
            # Else as it was, by which people see how long a row has been waiting.
            **({"ready_at": Now() + timedelta(seconds=seconds)} if seconds else {}),
        )


def fail(job: AnalysisJob, *, code: str, message: str) -> None:
    """Counts a failed attempt: the row waits longer each time, after ``MAX_ATTEMPTS`` it is quarantined."""
    ours = _ours([job])
    if job.attempts >= config().MAX_ATTEMPTS:
        ours.update(
            state=State.QUARANTINED,
            finished_at=Now(),
            lease_token=None,
            lease_until=None,
            code=code,
            message=f"{message} (given up after {job.attempts} attempts)",
        )
    else:
        ours.update(
            state=State.QUEUED,
            ready_at=Now() + timedelta(seconds=10 * 6 ** (job.attempts - 1)),
            lease_token=None,
            lease_until=None,
            code=code,
            message=message,
        )


def supersede(job_ids: Iterable[int]) -> None:
    """Marks held rows as answered for by others, since their posts show other pictures by now."""
    rows = AnalysisJob.objects.using(database()).filter(pk__in=list(job_ids))
    _supersede(rows, "The post's picture was replaced; the job of the new one answers.")


def finish(analyses: Sequence[Analysis]) -> None:
    """Marks held rows done or refused, inside the transaction that stored what follows from them."""
    _finish(database()).run_each([_finished(analysis) for analysis in analyses])


def soonest(*, within: float, version: str = "", lags: str = "") -> float | None:
    """Seconds until the next waiting row is due, if at most ``within`` seconds away. ``lags``: see ``claim``."""
    if not _queued(database()).rows():
        return None
    rows = AnalysisJob.objects.using(database()).filter(state=State.QUEUED)
    rows = _within_reach(rows, version=version, lags=lags)
    rows = rows.filter(ready_at__lte=Now() + timedelta(seconds=within))
    due = rows.order_by("ready_at").annotate(now=Now()).values_list("ready_at", "now").first()
    return max(0.0, (due[0] - due[1]).total_seconds()) if due else None


def _within_reach(rows: Any, *, version: str, lags: str) -> Any:
    """What a worker may take over: everything, or only uploads where it lags behind."""
    if not lags:
        return rows
    return rows.filter(Q(priority__gte=AnalysisJob.Priority.HELD) | Q(pipeline_version=version))


def _ours(jobs: Sequence[AnalysisJob]) -> Any:
    tokens = {job.lease_token for job in jobs}
    return AnalysisJob.objects.using(database()).filter(
        pk__in=[job.pk for job in jobs], state=State.RUNNING, lease_token__in=tokens
    )


def _finished(analysis: Analysis) -> dict[str, Any]:
    refusal = analysis.refusal
    return {
        "id": analysis.job_id,
        "state": State.REFUSED if refusal else State.DONE,
        "code": refusal.code if refusal else "",
        "message": refusal.message if refusal else "",
        "sha256": analysis.sha256,
        "timings": dict(analysis.timings),
        # As a refused picture's header claims them, which may be more than a column holds.
        **{name: min(getattr(analysis, name), INT_MAX) for name in ("width", "height", "frame_count")},
    }


def _quarantine_worn_out(using: str) -> None:
    count = _quarantine(using, config().MAX_ATTEMPTS).run()
    if count:
        logger.error("jobs quarantined after their worker was lost", extra={"jobs": count})


def _supersede(rows: QuerySet[AnalysisJob], message: str) -> None:
    rows.update(
        state=State.DONE, code=SUPERSEDED, message=message, finished_at=Now(), lease_token=None, lease_until=None
    )


def _adopt(job: AnalysisJob, version: str, lags: str) -> bool:
    """Makes ``job`` one of ``version``; False if the post has such a job already, which this one then leaves it to, or
    waits, as an old post, for a worker that does not lag."""
    rows = AnalysisJob.objects.using(job._state.db).filter(pk=job.pk)
    try:
        with transaction.atomic(using=job._state.db):
            rows.update(pipeline_version=version)
    except IntegrityError:
        if lags:
            rows.update(priority=AnalysisJob.Priority.BACKFILL)
            return False
        _supersede(rows, f"The job of this picture for {version} answers for this one.")
        return False
    job.pipeline_version = version
    return True


# --- Statements of every batch ---


@kept
def _ready(using: str, most: int) -> Statement:
    # In line, so that no planner prefers to read the whole table.
    rows = AnalysisJob.objects.using(using).ready().in_line().values_list("priority")[:most]
    return by_index(rows, "booru_ml_unfinished_jobs")


@kept
def _queued(using: str) -> QuerySet[Any]:
    return AnalysisJob.objects.using(using).filter(state=State.QUEUED).values_list("pk")[:1]


@kept
def _first(using: str, limit: int, version: str) -> Statement:
    """The most urgent ``limit`` rows, locked; with ``version``, what a worker that lags behind may take of them."""
    rows = _within_reach(AnalysisJob.objects.using(using).ready().in_line(), version=version, lags=version)
    if connections[using].features.has_select_for_update_skip_locked:
        rows = rows.select_for_update(skip_locked=True, of=("self",))
    return by_index(rows[:limit], "booru_ml_unfinished_jobs")


@kept
def _take(using: str, seconds: float) -> UpdateQuery:
    return update(
        AnalysisJob.objects.using(using).filter(pk=slot(AnalysisJob, "id")),
        state=State.RUNNING,
        attempts=F("attempts") + 1,
        lease_token=slot(AnalysisJob, "lease_token"),
        lease_until=Now() + timedelta(seconds=seconds),
        started_at=Now(),
    )


@kept
def _hold(using: str, seconds: float) -> UpdateQuery:
    ours = AnalysisJob.objects.using(using).filter(
        pk__in=slots(AnalysisJob, "id"), state=State.RUNNING, lease_token__in=slots(AnalysisJob, "lease_token")
    )
    return update(ours, lease_until=Now() + timedelta(seconds=seconds))


@kept
def _finish(using: str) -> UpdateQuery:
    names = ("state", "code", "message", "sha256", "timings", "width", "height", "frame_count")
    return update(
        AnalysisJob.objects.using(using).filter(pk=slot(AnalysisJob, "id")),
        **{name: slot(AnalysisJob, name) for name in names},
        finished_at=Now(),
        lease_token=None,
        lease_until=None,
    )


@kept
def _quarantine(using: str, most: int) -> UpdateQuery:
    return update(
        AnalysisJob.objects.using(using).filter(state=State.RUNNING, lease_until__lt=Now(), attempts__gte=most),
        state=State.QUARANTINED,
        finished_at=Now(),
        lease_token=None,
        lease_until=None,
        code="crashed",
        message=f"The worker died or stood still each of the {most} times it worked on this picture.",
    )
