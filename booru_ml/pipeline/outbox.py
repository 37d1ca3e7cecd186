"""Job rows as the board's side sees them: written with the upload, settled, run again."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import Any

from django.db import connections, router, transaction
from django.db.models import CASCADE
from django.db.models.functions import Now

from booru_ml import registry
from booru_ml.conf import config
from booru_ml.errors import CheckpointError
from booru_ml.host.loader import host
from booru_ml.models import AnalysisJob
from booru_ml.pipeline import doorbell
from booru_ml.pipeline.backfill import SUPERSEDED

logger = logging.getLogger(__name__)

WATCH_SECONDS = 60
"""How long a post that was saved without a transaction counts as still being uploaded."""
LABELS = "booru_"
"""How the plugin's apps are called in the database."""
UNVERSIONED = "unversioned"
"""Stands for the pipeline version where this process cannot read the checkpoints; the worker writes in its own."""

State, Priority = AnalysisJob.State, AnalysisJob.Priority

# In every upload, so by hand: to build it by the ORM takes far longer than to answer it out of its partial index.
_SHARE = (
    f"SELECT 1 FROM {AnalysisJob._meta.db_table} WHERE state = 'queued' AND uploader = %s "  # noqa: S608 - no input
    f"AND priority IN ({Priority.HELD:d}, {Priority.FRESH:d}) LIMIT 1 OFFSET %s"
)


def database() -> str:
    """The alias that job rows live on."""
    return router.db_for_write(AnalysisJob)


def wanted_version() -> str:
    """The version to ask for; an unreadable checkpoint must not cost the upload its job."""
    try:
        return registry.pipeline_version()
    except CheckpointError as error:
        logger.error("pipeline version unknown in this process: %s", error)
        return UNVERSIONED


def enqueue(post: Any, *, priority: int = Priority.FRESH, using: str | None = None) -> AnalysisJob | None:
    """Writes the job of ``post`` in the caller's transaction; None if it has no picture or its job exists already.

    Rows written outside a transaction wait ``SETTLE_SECONDS``, so that the board's form may finish first.
    """
    using = using or database()
    wanted = _wanted(post)
    rows = AnalysisJob.objects.using(using)
    if not wanted or rows.filter(**wanted).exists():
        return None
    _write(wanted, priority, _uploader(post), using)
    return rows.get(**wanted)


def saved(post: Any, *, created: bool, tags_in_row: bool, using: str) -> None:
    """The board has saved ``post``. A new one costs its upload two statements: may it go first, and its row.

    ``tags_in_row``: tags are text in the post itself, so that a form which saves an old copy takes ours away.
    """
    if wanted := _wanted(post):
        rows = AnalysisJob.objects.using(using)
        jobs = [] if created else list(rows.filter(post_id=post.pk).only(*wanted, "state", "code", "finished_at"))
        mine = next((job for job in jobs if all(getattr(job, name) == value for name, value in wanted.items())), None)
        if mine is None:
            _write(wanted, Priority.FRESH, _uploader(post), using)
        elif _came_back(mine, jobs):
            _queue_again(rows.filter(pk=mine.pk), ready_at=_settled())
            transaction.on_commit(doorbell.ring, using=using, robust=True)
        else:
            touch([post.pk], wiped=tags_in_row, using=using)


def touch(post_ids: Iterable[Any], *, wiped: bool, using: str | None = None) -> None:
    """The board wrote to fresh posts again: waiting jobs wait a little longer.

    ``wiped``: the write may have taken away what a finished job had put there (a form's ``tags.set()``); such a job
    runs again, once.
    """
    using = using or database()
    fresh = AnalysisJob.objects.using(using).watched().filter(post_id__in=list(post_ids))
    states = set(fresh.values_list("state", flat=True))
    if State.QUEUED in states:
        fresh.filter(state=State.QUEUED, attempts=0).update(ready_at=_settled())
    if wiped and State.DONE in states:
        _queue_again(fresh.filter(state=State.DONE), ready_at=_settled(), watch_until=None)
        transaction.on_commit(doorbell.ring, using=using, robust=True)


def _came_back(mine: AnalysisJob, jobs: Iterable[AnalysisJob]) -> bool:
    """Whether the post shows this picture once more, after another one that was looked at since, or is going to be."""
    if not mine.finished_at or mine.code == SUPERSEDED:
        return bool(mine.finished_at)
    others = (job for job in jobs if job.content_key != mine.content_key and job.code != SUPERSEDED)
    return any(not job.finished_at or job.finished_at > mine.finished_at for job in others)


def forget(post: Any, *, using: str) -> None:
    """Deletes what the plugin has of a post that is being deleted: what was written behind Django's back meanwhile,
    which collects before it deletes. A database that lets one write at a time has none."""
    if not connections[using].features.has_select_for_update:
        return
    for relation in post._meta.related_objects:
        model = relation.related_model
        if model._meta.app_label.startswith(LABELS) and relation.on_delete is CASCADE:
            model._base_manager.using(using).filter(**{relation.field.name: post.pk}).delete()


def rerun(*, job_ids: Iterable[int], priority: int = Priority.RERUN) -> int:
    """Queues finished, refused and quarantined jobs again; returns how many. Unfinished ones stay."""
    using = database()
    jobs = AnalysisJob.objects.using(using).finished().filter(pk__in=list(job_ids))
    with transaction.atomic(using=using):
        count = _queue_again(jobs, ready_at=Now(), priority=priority)
        transaction.on_commit(doorbell.ring, using=using, robust=True)
    return count


def rerun_failed(*, state: str, code: str | None = None) -> int:
    """Queues every refused or quarantined job again (``state``), or those with one ``code``; returns how many."""
    using = database()
    jobs = AnalysisJob.objects.using(using).failed().filter(state=state)
    if code is not None:
        jobs = jobs.filter(code=code)
    with transaction.atomic(using=using):
        count = _queue_again(jobs, ready_at=Now(), priority=Priority.RERUN)
        transaction.on_commit(doorbell.ring, using=using, robust=True)
    return count


def write_old(posts: Mapping[Any, str], *, version: str, again: Iterable[int] = ()) -> None:
    """Writes backfill rows, in the caller's transaction: ``posts`` maps ids to content keys, ``again`` are finished
    jobs that run once more. A row that exists already stays as it is."""
    using = database()
    rows = AnalysisJob.objects.using(using)
    jobs = [
        AnalysisJob(post_id=pk, content_key=key, pipeline_version=version, priority=Priority.BACKFILL)
        for pk, key in posts.items()
    ]
    rows.bulk_create(jobs, ignore_conflicts=True)
    _queue_again(rows.finished().filter(pk__in=list(again)), ready_at=Now(), priority=Priority.BACKFILL)
    transaction.on_commit(doorbell.ring, using=using, robust=True)


def _uploader(post: Any) -> str:
    key = host().uploader_id(post)
    return "" if key is None else str(key)[:64]


def _held(uploader: str, using: str) -> bool:
    """Whether so many uploads of this person wait that another one has to let other people's pass."""
    limit = config().MAX_WAITING_PER_UPLOADER
    if not uploader or not limit:
        return False
    with connections[using].cursor() as cursor:
        cursor.execute(_SHARE, [uploader, limit - 1])
        return cursor.fetchone() is not None


def _wanted(post: Any) -> dict[str, Any]:
    """What makes the job of ``post`` the only one; empty without a picture."""
    key = host().content_key(post)
    return {"post_id": post.pk, "content_key": key, "pipeline_version": wanted_version()} if key else {}


def _write(wanted: dict[str, Any], priority: int, uploader: str, using: str) -> None:
    if priority == Priority.FRESH and _held(uploader, using):
        priority = Priority.HELD
    job = AnalysisJob(**wanted, priority=priority, uploader=uploader)
    if not transaction.get_connection(using).in_atomic_block:
        job.ready_at = _settled()
        job.watch_until = Now() + timedelta(seconds=WATCH_SECONDS)
    with transaction.atomic(using=using, savepoint=False):
        AnalysisJob.objects.using(using).bulk_create([job], ignore_conflicts=True)
        transaction.on_commit(doorbell.ring, using=using, robust=True)


def _queue_again(jobs: Any, **values: Any) -> int:
    return int(
        jobs.update(
            state=State.QUEUED,
            attempts=0,
            lease_token=None,
            lease_until=None,
            code="",
            message="",
            finished_at=None,
            **values,
        )
    )


def _settled() -> Any:
    # Without a wait the plain time: SQLite compares as text, and a sum has more digits, so that it would lie ahead.
    seconds = config().SETTLE_SECONDS
    return Now() + timedelta(seconds=seconds) if seconds else Now()
