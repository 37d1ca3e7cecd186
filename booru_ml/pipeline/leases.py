"""Job rows as a worker sees them: claimed under a lease, kept, given back, failed or finished.

All times are the database's. A row is written only while its lease token is still ours, so a worker that was asleep
for too long changes nothing.
"""

from __future__ import annotations

import logging
import uuid
from collections.abc import Iterable, Sequence
from datetime import timedelta
from typing import Any

from django.db import IntegrityError, connections, transaction
from django.db.models import F, Q
from django.db.models.functions import Greatest, Now

from booru_ml.conf import config
from booru_ml.models import AnalysisJob
from booru_ml.pipeline.outbox import database, write_old
from booru_ml.types import Analysis

logger = logging.getLogger(__name__)

State = AnalysisJob.State


def claim(
    *, limit: int, version: str, suspects: bool = True, looked: bool = False, lags: str = ""
) -> list[AnalysisJob]:
    """Takes up to ``limit`` rows, the most urgent; attempts and lease are committed before this returns.

    Priorities are not mixed: a fresh upload does not wait for a batch that was filled up with old posts. A row that was
    attempted before is a suspect: it may have killed the worker, so it is taken alone, and only where ``suspects``
    allows; otherwise nothing is returned while one is first in the line. Rows that asked for another version are taken
    over by ``version``. ``looked``: the caller has just seen that something is ready. ``lags``: the version in force,
    where ``version`` is a former one: then only uploads are taken over, and each is queued for that version, too.
    """
    using = database()
    rows = AnalysisJob.objects.using(using)
    if not looked and not rows.any_ready():
        return []
    token = uuid.uuid4()
    with transaction.atomic(using=using):
        # Writing first takes SQLite's write lock, so that what is read next stays true until the commit.
        _quarantine_worn_out(rows)
        first = rows.ready().in_line()
        first = _within_reach(first, version=version, lags=lags)
        if connections[using].features.has_select_for_update_skip_locked:
            first = first.select_for_update(skip_locked=True, of=("self",))
        picked = list(first[:limit])
        if picked and picked[0].attempts:
            picked = picked[:1] if suspects else []
        picked = [job for job in picked if not job.attempts] or picked
        picked = [job for job in picked if job.priority == picked[0].priority]
        taken_over = [job for job in picked if job.pipeline_version != version]
        picked = [job for job in picked if job.pipeline_version == version or _adopt(job, version, lags)]
        if lags and taken_over:
            write_old({job.post_id: job.content_key for job in taken_over}, version=lags)
        rows.filter(pk__in=[job.pk for job in picked]).update(
            state=State.RUNNING,
            attempts=F("attempts") + 1,
            lease_token=token,
            lease_until=_lease_end(),
            started_at=Now(),
        )
    if taken_over and not picked:
        return claim(limit=limit, version=version, suspects=suspects, lags=lags)
    for job in picked:
        job.state, job.lease_token, job.attempts = State.RUNNING, token, job.attempts + 1
    return picked


def renew(tokens: Iterable[uuid.UUID]) -> int:
    """Extends the leases that are still ours; returns how many rows they hold."""
    held = AnalysisJob.objects.using(database()).filter(state=State.RUNNING, lease_token__in=list(tokens))
    return held.update(lease_until=_lease_end())


def hold(jobs: Sequence[AnalysisJob]) -> set[int]:
    """Locks, inside the caller's transaction, the rows among ``jobs`` whose lease is still ours; returns their ids."""
    ours = _ours(jobs)
    ours.update(lease_until=_lease_end())
    return set(ours.values_list("pk", flat=True))


def give_back(jobs: Sequence[AnalysisJob], *, code: str = "", message: str = "", seconds: float = 0) -> None:
    """Returns unfinished rows as if they had not been taken: the fault was not theirs."""
    if jobs:
        _ours(jobs).update(
            state=State.QUEUED,
            attempts=Greatest(F("attempts") - 1, 0),
            ready_at=Now() + timedelta(seconds=seconds),
            lease_token=None,
            lease_until=None,
            code=code,
            message=message,
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


def finish(analyses: Sequence[Analysis]) -> None:
    """Marks held rows done or refused, inside the transaction that stored what follows from them."""
    # One small statement a row: a bulk update with its cases takes several times as long to be put together.
    for analysis in analyses:
        refusal = analysis.refusal
        AnalysisJob.objects.using(database()).filter(pk=analysis.job_id).update(
            state=State.REFUSED if refusal else State.DONE,
            code=refusal.code if refusal else "",
            message=refusal.message if refusal else "",
            sha256=analysis.sha256,
            timings=dict(analysis.timings),
            width=analysis.width,
            height=analysis.height,
            frame_count=analysis.frame_count,
            finished_at=Now(),
            lease_token=None,
            lease_until=None,
        )


def soonest(*, within: float, version: str = "", lags: str = "") -> float | None:
    """Seconds until the next waiting row is due, if at most ``within`` seconds away. ``lags``: see ``claim``."""
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


def _quarantine_worn_out(rows: Any) -> None:
    most = config().MAX_ATTEMPTS
    count = rows.filter(state=State.RUNNING, lease_until__lt=Now(), attempts__gte=most).update(
        state=State.QUARANTINED,
        finished_at=Now(),
        lease_token=None,
        lease_until=None,
        code="crashed",
        message=f"The worker died or stood still each of the {most} times it worked on this picture.",
    )
    if count:
        logger.error("jobs quarantined after their worker was lost", extra={"jobs": count})


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
        rows.update(
            state=State.DONE,
            code="superseded",
            message=f"The job of this picture for {version} answers for this one.",
            finished_at=Now(),
            lease_token=None,
            lease_until=None,
        )
        return False
    job.pipeline_version = version
    return True


def _lease_end() -> Any:
    return Now() + timedelta(seconds=config().LEASE_SECONDS)
