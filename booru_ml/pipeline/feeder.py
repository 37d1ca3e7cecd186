"""The feeder of the queue: old posts of the active ``Backfill``, a chunk at a time.

Anybody may feed it, several at once: a chunk of posts is judged, then its jobs and the moved cursor are written in one
transaction that comes true only while the cursor stands where it was read. Whoever dies in between has changed nothing,
so nothing is queued twice and nothing is passed over.
"""

from __future__ import annotations

import logging
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import IntegrityError, InterfaceError, OperationalError, transaction
from django.db.models import F
from django.db.models.functions import Now

from booru_ml import registry
from booru_ml.conf import config
from booru_ml.host.loader import host
from booru_ml.models import AnalysisJob, Backfill
from booru_ml.pipeline import orders, outbox
from booru_ml.pipeline.backfill import Order, Past, Verdict, allowance, judge, paid

logger = logging.getLogger(__name__)

CHUNK = 500
"""Most posts that are judged at a time."""
SMALLEST_CHUNK = 32
SLICE_SECONDS = 0.3
"""How long a worker feeds at most before it turns to its pictures again."""

State = Backfill.State


@dataclass(frozen=True, slots=True)
class Chunk:
    """Judged posts: ``new`` get a job (id → content key), ``again`` are jobs that run once more."""

    last: Any
    passed: int
    left_refused: int
    new: Mapping[Any, str]
    again: Sequence[int]


def feed(*, seconds: float = SLICE_SECONDS) -> int:
    """Queues what may wait now of the active backfill; returns how many. Stops early after ``seconds``."""
    deadline, fed, tries = time.monotonic() + seconds, 0, 3
    while time.monotonic() < deadline:
        order: Any = orders.rows().active().annotate(now=Now()).first()
        if order is None or order.state != State.RUNNING:
            break
        registry.forget()  # What is known may be older than the order, which would be taken for done.
        version = registry.pipeline_version()
        if order.pipeline_version != version:
            _start_over(order, version)
            continue
        room = _room(order, order.now)
        if room <= 0:
            break
        chunk = _next(order, room)
        try:
            fed += _write(order, chunk, order.now)
        except IntegrityError:  # A post went away after it was read.
            tries -= 1
            if not tries:
                raise
    return fed


def feed_quietly() -> None:
    """For a worker between two looks at the queue: what is wrong with the backfill must not keep it from working."""
    try:
        feed()
    except (OperationalError, InterfaceError):
        raise
    except Exception as error:
        logger.warning("the backfill cannot go on: %s", error, exc_info=True)
        orders.rows().active().update(fault=getattr(error, "message", "") or f"{type(error).__name__}: {error}"[:1000])


def survey(order: Order) -> Iterator[tuple[int, dict[Verdict, int]]]:
    """Judges every post of an order and queues nothing; yields posts looked at and verdicts so far, chunk by chunk."""
    counts, looked, after = dict.fromkeys(Verdict, 0), 0, None
    version = registry.pipeline_version()
    while posts := host().walk(after=after, since=order.since, tags=order.tags, limit=CHUNK):
        for _, _, verdict, _ in _judged(posts, version=version, model=order.model, refused=order.refused):
            counts[verdict] += 1
            looked += 1
            if order.limit and counts[Verdict.NEEDED] + counts[Verdict.AGAIN] == order.limit:
                yield looked, counts
                return
        after = posts[-1].pk
        yield looked, counts


def _room(order: Backfill, now: datetime) -> int:
    room = config().BACKFILL_WAITING - orders.waiting()
    if order.limit:
        room = min(room, order.limit - order.queued)
    if order.per_minute:
        room = min(room, allowance(order.per_minute, paid_until=order.paid_until, now=now))
    return room


def _next(order: Backfill, room: int) -> Chunk:
    """The next posts of the walk, as far as the first one there is no room for."""
    key: Any = AnalysisJob._meta.get_field("post")
    after = key.target_field.to_python(order.cursor) if order.cursor else None
    size = min(CHUNK, max(SMALLEST_CHUNK, 2 * room))
    posts = host().walk(after=after, since=order.since, tags=tuple(order.tags), limit=size)
    new: dict[Any, str] = {}
    again: list[int] = []
    last, passed, left_refused = None, 0, 0
    for pk, key, verdict, job_id in _judged(
        posts, version=order.pipeline_version, model=order.model, refused=order.refused
    ):
        if verdict in (Verdict.NEEDED, Verdict.AGAIN) and len(new) + len(again) == room:
            break
        if verdict is Verdict.NEEDED:
            new[pk] = key
        elif job_id is not None:
            again.append(job_id)
        left_refused += verdict is Verdict.REFUSED
        last, passed = pk, passed + 1
    return Chunk(last, passed, left_refused, new, again)


def _write(order: Backfill, chunk: Chunk, now: datetime) -> int:
    """Jobs and cursor together; 0 if somebody else moved the cursor, paused or cancelled meanwhile."""
    count = len(chunk.new) + len(chunk.again)
    over = not chunk.passed or bool(order.limit and order.queued + count >= order.limit)
    values: dict[str, Any] = {"state": State.FINISHED, "finished_at": Now()} if over else {}
    if chunk.passed:
        values |= {"cursor": str(chunk.last), "fed_at": Now()}
    if order.per_minute and count:
        values["paid_until"] = paid(count, order.per_minute, paid_until=order.paid_until, now=now)
    unmoved = orders.rows().filter(
        pk=order.pk, state=State.RUNNING, cursor=order.cursor, pipeline_version=order.pipeline_version
    )
    with transaction.atomic(using=outbox.database()):
        moved = unmoved.update(
            fault="",
            passed=F("passed") + chunk.passed,
            queued=F("queued") + count,
            left_refused=F("left_refused") + chunk.left_refused,
            **values,
        )
        if moved and count:
            outbox.write_old(chunk.new, version=order.pipeline_version, again=chunk.again)
    return count if moved else 0


def _start_over(order: Backfill, version: str) -> None:
    """The checkpoints changed: what was passed may need another look. What this version has done is not done again."""
    logger.info("the backfill starts over for %s", version)
    orders.rows().filter(pk=order.pk, pipeline_version=order.pipeline_version).update(
        pipeline_version=version, cursor="", passed=0, left_refused=0
    )


def _judged(
    posts: Sequence[Any], *, version: str, model: str, refused: bool
) -> Iterable[tuple[Any, str, Verdict, int | None]]:
    """(post id, content key, verdict, job to run again) of each post, with one query for all their jobs."""
    keys = {post.pk: host().content_key(post) for post in posts}
    jobs: dict[tuple[Any, str], list[Past]] = defaultdict(list)
    rows = AnalysisJob.objects.using(outbox.database()).filter(post_id__in=list(keys))
    for job in rows.only("post_id", "content_key", "pipeline_version", "state", "code", "finished_at"):
        past = Past(job.pk, job.pipeline_version, job.state, job.code, job.finished_at)
        jobs[job.post_id, job.content_key].append(past)
    for pk, key in keys.items():
        if not key:
            yield pk, key, Verdict.OTHER, None
        else:
            yield pk, key, *judge(jobs[pk, key], version=version, model=model, refused=refused)
