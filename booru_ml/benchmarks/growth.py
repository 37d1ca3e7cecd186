"""Whether the queue's own work stays the same as its table grows."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from statistics import median
from typing import Any

from django.core.management.base import CommandError
from django.db import connections, transaction
from django.db.models.functions import Now
from django.test.utils import CaptureQueriesContext

from booru_ml import conf
from booru_ml.benchmarks.board import Board
from booru_ml.benchmarks.samples import Posts, picture
from booru_ml.benchmarks.stage import stage
from booru_ml.conf import config
from booru_ml.models import AnalysisJob
from booru_ml.pipeline import leases, outbox

REPEATS = 30
WAITING = 10
"""One row in so many waits; the others are finished."""
CHUNK = 5_000

State, Priority = AnalysisJob.State, AnalysisJob.Priority


def measure(sizes: Sequence[int], *, say: Callable[[str], None] = lambda text: None) -> dict[str, Any]:
    """Median milliseconds of an upload's row, of a claim and of storing a batch at each number of job rows, and how the
    database plans the claim at the largest. On an empty database of its own."""
    with stage() as folder:
        path = folder / "picture.jpg"
        path.write_bytes(picture())
        board = Board(Posts(), [path])
        posts = board.furnish()
        numbers = itertools.count()
        table: list[dict[str, Any]] = []
        for size in sorted(sizes):
            _grow(posts, size, numbers, say)
            table.append({"rows": AnalysisJob.objects.count(), **_work(board)})
            say(" ".join(f"{name} {value}" for name, value in table[-1].items()))
        return {"database": _vendor(), "batch": config().BATCH_SIZE, "sizes": table, "plans": _plans()}


def _vendor() -> str:
    return connections[outbox.database()].vendor


def _grow(posts: Sequence[Any], size: int, numbers: Any, say: Callable[[str], None]) -> None:
    """Rows of other pictures of the same posts: finished ones, and old posts that wait."""
    left = size - AnalysisJob.objects.count()
    while left > 0:
        rows = []
        for number in itertools.islice(numbers, min(CHUNK, left)):
            waits = number % WAITING == 0
            rows.append(
                AnalysisJob(
                    post_id=posts[number % len(posts)],
                    content_key=f"{number:064x}",
                    pipeline_version=outbox.wanted_version(),
                    priority=Priority.BACKFILL if waits else Priority.FRESH,
                    state=State.QUEUED if waits else State.DONE,
                    finished_at=None if waits else Now(),
                )
            )
        AnalysisJob.objects.bulk_create(rows)
        left -= len(rows)
        if left % (20 * CHUNK) == 0 and left:
            say(f"{left} rows to go")
    connection = connections[outbox.database()]
    if connection.vendor == "postgresql":  # which does so by itself; SQLite has no statistics on a board, either
        with connection.cursor() as cursor:
            cursor.execute("ANALYZE")


def _work(board: Board) -> dict[str, float]:
    """What ``REPEATS`` batches of fresh uploads take. Raises ``CommandError`` where something else was measured."""
    spent: dict[str, list[float]] = {"enqueue_ms": [], "claim_ms": [], "store_ms": []}
    for _ in range(REPEATS):
        uploads = set()
        for _ in range(config().BATCH_SIZE):
            with transaction.atomic():  # else its row waits until the board's form has had time to finish
                post = board.point()
                post.save()
                with _timed(spent["enqueue_ms"]):
                    outbox.enqueue(post)
            uploads.add(post.pk)
        with _timed(spent["claim_ms"]):
            jobs = _claim(config().BATCH_SIZE)
        if {job.post_id for job in jobs} != uploads:
            raise CommandError("A claim took other rows than the uploads; the figures would mean nothing.")
        analyses = [board.earlier(job.post_id, job_id=job.pk) for job in jobs]
        with _timed(spent["store_ms"]), transaction.atomic(using=outbox.database()):
            leases.hold(jobs)
            for sink in conf.sinks():
                sink(analyses)
            leases.finish(analyses)
    return {name: round(1000 * median(times), 2) for name, times in spent.items()}


def _claim(limit: int) -> list[AnalysisJob]:
    return leases.claim(limit=limit, version=outbox.wanted_version())


@contextmanager
def _timed(into: list[float]) -> Iterator[None]:
    begun = time.perf_counter()
    yield
    into.append(time.perf_counter() - begun)


def _plans() -> list[str]:
    """How the database would run the statements of a claim; of a single row, since those made at once for many rows
    cannot be explained."""
    connection = connections[outbox.database()]
    with CaptureQueriesContext(connection) as heard:
        jobs = _claim(1)
    leases.give_back(jobs)
    plans = []
    for query in heard.captured_queries:
        sql = query["sql"]
        if sql.startswith(("SELECT", "UPDATE")):
            how = "EXPLAIN" if connection.vendor == "postgresql" else "EXPLAIN QUERY PLAN"
            with connection.cursor() as cursor:
                cursor.execute(f"{how} {sql}")
                plans.append("\n".join(str(row[-1]) for row in cursor.fetchall()))
    return plans
