"""What workers make of the machine: upload rows → stored suggestions, beside the bare arithmetic and the naive way."""

from __future__ import annotations

import random
import statistics
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.core.management.base import CommandError
from django.db import transaction

from booru_ml import broker
from booru_ml.benchmarks import naive
from booru_ml.benchmarks.limit import Crew, cores
from booru_ml.benchmarks.samples import Posts, posts
from booru_ml.benchmarks.stage import stage
from booru_ml.benchmarks.workers import CeleryWorkers
from booru_ml.models import AnalysisJob
from booru_ml.pipeline import outbox

PATIENCE_SECONDS = 300.0
POLL_SECONDS = 0.003
PAUSE_SECONDS = 0.2
"""Between two single uploads, so that each meets an idle worker."""

State = AnalysisJob.State


@dataclass
class Board:
    """Posts over the stored pictures; each round brings new ones, and takes them away."""

    maker: Posts
    names: Sequence[str]

    def upload(self, names: Sequence[str], *, queued: bool = True) -> list[int]:
        """Commits posts and their job rows at once, and rings as an upload does; not ``queued``: nobody's work."""
        with transaction.atomic():
            jobs = []
            for name in names:
                post = self.maker.point(name)
                post.save()
                job = outbox.enqueue(post)
                if job is None:
                    raise CommandError(f"The board wants no analysis of {name}.")
                jobs.append(job.pk)
            if not queued:
                AnalysisJob.objects.filter(pk__in=jobs).update(state=State.RUNNING)
        return jobs

    def wait(self, jobs: Sequence[int], check: Callable[[], None], poll: float = 0.02) -> None:
        patience = time.monotonic() + PATIENCE_SECONDS
        rows = AnalysisJob.objects.filter(pk__in=jobs)
        while (done := rows.filter(state=State.DONE).count()) < len(jobs):
            check()
            if time.monotonic() > patience:
                states = list(rows.exclude(state=State.DONE).values_list("state", "code", "message")[:5])
                raise CommandError(f"{len(jobs) - done} of {len(jobs)} pictures are not done: {states}")
            time.sleep(poll)

    def clear(self) -> None:
        self.maker.model._base_manager.all().delete()


@dataclass
class Arm:
    """Rounds of one way: pictures per second each."""

    rates: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)

    @property
    def rate(self) -> float:
        return statistics.median(self.rates)


def measure(
    paths: Sequence[Path],
    *,
    rounds: int,
    uploads: int,
    with_naive: bool,
    say: Callable[[str], None] = lambda text: None,
) -> dict[str, Any]:
    """Medians over interleaved rounds on the same pictures; ``uploads`` single ones are timed from commit to stored.

    Raises ``CommandError`` where an arm does not work.
    """
    with ExitStack() as parts:
        folder = parts.enter_context(stage())
        # Forked before this process has threads or connections that matter.
        crew = parts.enter_context(Crew())
        ours = parts.enter_context(CeleryWorkers(lambda: broker.app, folder / "ours.log", queue=broker.QUEUE))
        others = None
        if with_naive:
            others = parts.enter_context(CeleryWorkers(naive.app, folder / "naive.log", queue=naive.QUEUE))
        board = Board(parts.enter_context(posts()), [_store(path) for path in paths])
        arms = {"limit": Arm(), "ours": Arm()} | ({"naive": Arm()} if others else {})
        memory: list[float] = []

        def limit() -> float:
            return crew.run(paths)

        def real() -> float:
            jobs, begun, busy = board.upload(board.names), time.perf_counter(), ours.cpu_seconds()
            board.wait(jobs, ours.check)
            seconds = time.perf_counter() - begun
            arms["ours"].cpu.append((ours.cpu_seconds() - busy) / len(jobs))
            memory.append(ours.pss_mib())
            board.clear()
            return seconds

        def plain() -> float:
            assert others is not None  # noqa: S101 - only asked where there are some
            sender = naive.app()
            jobs = board.upload(board.names, queued=False)
            begun = time.perf_counter()
            with sender.connection() as connection:
                for job in jobs:
                    sender.send_task("booru_ml.naive", [job], connection=connection)
            board.wait(jobs, others.check)
            seconds = time.perf_counter() - begun
            board.clear()
            return seconds

        ways = {"limit": limit, "ours": real} | ({"naive": plain} if others else {})
        for number in range(-1, rounds):  # the first warms engines and caches up
            for name in random.sample(list(ways), len(ways)):
                rate = len(paths) / ways[name]()
                if number >= 0:
                    arms[name].rates.append(rate)
                say(f"round {number + 1} of {rounds}: {name} {rate:.1f} pictures/s")
        alone, latencies = _latencies(board, crew, ours, paths, uploads, say)
    return _report(arms, alone, latencies, memory, len(paths))


def _store(path: Path) -> str:
    return str(default_storage.save(path.name, ContentFile(path.read_bytes())))


def _latencies(
    board: Board,
    crew: Crew,
    ours: CeleryWorkers,
    paths: Sequence[Path],
    uploads: int,
    say: Callable[[str], None],
) -> tuple[list[float], list[float]]:
    """Seconds of decode and forward alone, and from commit to stored suggestions, of the same single pictures."""
    alone, latencies = [], []
    for number in range(-3, uploads):
        path, name = paths[number % len(paths)], board.names[number % len(paths)]
        bare = crew.one(path)
        time.sleep(PAUSE_SECONDS)
        jobs = board.upload([name])
        begun = time.perf_counter()
        board.wait(jobs, ours.check, poll=POLL_SECONDS)
        if number >= 0:
            alone.append(bare)
            latencies.append(time.perf_counter() - begun)
        board.clear()
    say(f"{uploads} single uploads timed")
    return alone, latencies


def _report(
    arms: dict[str, Arm], alone: list[float], latencies: list[float], memory: list[float], pictures: int
) -> dict[str, Any]:
    ours, limit, other = arms["ours"], arms["limit"], arms.get("naive")
    ratios = [mine / theirs for mine, theirs in zip(ours.rates, limit.rates, strict=True)]
    against = [mine / theirs for mine, theirs in zip(ours.rates, other.rates, strict=True)] if other else []
    return {
        "pictures": pictures,
        "rounds": len(ours.rates),
        "cores": cores(),
        "limit_img_s": round(limit.rate, 2),
        "ours_img_s": round(ours.rate, 2),
        "naive_img_s": round(other.rate, 2) if other else None,
        "ratio_limit": round(statistics.median(ratios), 3),
        "ratio_naive": round(statistics.median(against), 2) if against else None,
        "one_s": round(statistics.median(alone), 4),
        "latency_p50_s": round(statistics.median(latencies), 4),
        "latency_p95_s": round(statistics.quantiles(latencies, n=20)[18], 4),
        "cpu_s_per_image": round(statistics.median(ours.cpu), 4),
        "pss_mib": round(max(memory), 1),
    }
