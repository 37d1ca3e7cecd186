"""How long a fresh upload waits while old posts keep every worker busy."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median, quantiles
from typing import Any

from booru_ml import broker
from booru_ml.benchmarks.board import Board
from booru_ml.benchmarks.limit import cores
from booru_ml.benchmarks.samples import Posts
from booru_ml.benchmarks.stage import stage
from booru_ml.benchmarks.workers import CeleryWorkers
from booru_ml.conf import config
from booru_ml.models import AnalysisJob
from booru_ml.pipeline import doorbell, outbox

PAUSE_SECONDS = 0.5
POLL_SECONDS = 0.01
CHUNK = 1000

State, Priority = AnalysisJob.State, AnalysisJob.Priority


def measure(
    paths: Sequence[Path], *, waiting: int, uploads: int, say: Callable[[str], None] = lambda text: None
) -> dict[str, Any]:
    """Seconds from commit to stored results of single uploads beside ``waiting`` rows of old posts, and what a batch of
    those takes a worker. On an empty database of its own, by real workers."""
    with stage() as folder, CeleryWorkers(lambda: broker.app, folder / "log", queue=broker.QUEUE) as workers:
        board = Board(Posts(), paths)
        posts = board.furnish()
        _fill(posts, waiting)
        doorbell.ring()
        _until_busy(workers)
        begun, before = time.perf_counter(), _done()
        latencies = []
        for number in range(uploads):
            jobs, start = board.upload([board.names[number % len(board.names)]]), time.perf_counter()
            board.wait(jobs, workers.check, poll=POLL_SECONDS)
            latencies.append(time.perf_counter() - start)
            time.sleep(PAUSE_SECONDS)
        rate = (_done() - before) / (time.perf_counter() - begun)
        left = AnalysisJob.objects.filter(priority=Priority.BACKFILL, state=State.QUEUED).count()
        say(f"{uploads} uploads, {left} of {waiting} old posts still wait")
    batch = config().BATCH_SIZE * cores() / rate
    p95 = quantiles(latencies, n=20)[18]
    return {
        "waiting": waiting,
        "uploads": uploads,
        "left": left,
        "old_img_s": round(rate, 2),
        "batch_s": round(batch, 3),
        "latency_p50_s": round(median(latencies), 3),
        "latency_p95_s": round(p95, 3),
        "latency_p95_batches": round(p95 / batch, 2),
    }


def _fill(posts: Sequence[Any], waiting: int) -> None:
    version = outbox.wanted_version()
    rows = (
        AnalysisJob(
            post_id=posts[number % len(posts)],
            content_key=f"{number:064x}",
            pipeline_version=version,
            priority=Priority.BACKFILL,
        )
        for number in range(waiting)
    )
    AnalysisJob.objects.bulk_create(rows, batch_size=CHUNK)


def _done() -> int:
    return AnalysisJob.objects.filter(priority=Priority.BACKFILL, state=State.DONE).count()


def _until_busy(workers: CeleryWorkers) -> None:
    """Until every worker has its networks loaded and a batch or two behind it."""
    while _done() < 2 * config().BATCH_SIZE * cores():
        workers.check()
        time.sleep(0.1)
