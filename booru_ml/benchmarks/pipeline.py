"""What workers make of the machine: upload rows → stored suggestions, beside the bare arithmetic and the naive way."""

from __future__ import annotations

import random
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from multiprocessing import get_context
from pathlib import Path
from statistics import median, quantiles
from typing import Any

from django.db import connections

from booru_ml import broker
from booru_ml.benchmarks import naive
from booru_ml.benchmarks.board import Board
from booru_ml.benchmarks.limit import Crew, cores
from booru_ml.benchmarks.samples import Posts
from booru_ml.benchmarks.stage import stage
from booru_ml.benchmarks.workers import CeleryWorkers
from booru_ml.conf import config
from booru_ml.errors import Unavailable
from booru_ml.pipeline.parts import probe_routes

TIMES = 3
"""How often a round uploads each picture: several batches for every worker."""
POLL_SECONDS = 0.001
PAUSE_SECONDS = 0.2
"""Before each single picture, so that both ways meet it from rest: idle, with cold caches."""


class Way(ABC):
    """One way to get pictures analysed, and what its rounds measured."""

    def __init__(self, workers: Crew | CeleryWorkers) -> None:
        self.workers = workers
        self.rates: list[float] = []
        """Pictures per second."""
        self.cpu: list[float] = []
        """Processor seconds per picture."""

    @abstractmethod
    def run(self) -> float:
        """One round: seconds for all pictures."""

    def round(self, pictures: int) -> tuple[float, float]:
        busy = self.workers.cpu_seconds()
        rate = TIMES * pictures / self.run()
        return rate, (self.workers.cpu_seconds() - busy) / (TIMES * pictures)


class Limit(Way):
    def __init__(self, workers: Crew, paths: Sequence[Path]) -> None:
        super().__init__(workers)
        self._crew, self._paths = workers, list(paths)

    def run(self) -> float:
        return self._crew.run(self._paths * TIMES)


class Ours(Way):
    def __init__(self, workers: CeleryWorkers, board: Board) -> None:
        super().__init__(workers)
        self._celery, self._board = workers, board
        self.memory: list[float] = []

    def run(self) -> float:
        jobs, begun = self._board.upload(self._board.names * TIMES), time.perf_counter()
        self._board.wait(jobs, self._celery.check)
        seconds = time.perf_counter() - begun
        self.memory.append(self._celery.pss_mib())
        self._board.clear(jobs)
        return seconds


class Naive(Way):
    def __init__(self, workers: CeleryWorkers, board: Board) -> None:
        super().__init__(workers)
        self._celery, self._board, self._app = workers, board, naive.app()

    def run(self) -> float:
        jobs, begun = self._board.upload(self._board.names * TIMES, queued=False), time.perf_counter()
        with self._app.connection() as connection:
            for job in jobs:
                self._app.send_task(naive.TASK, [job], connection=connection)
        self._board.wait(jobs, self._celery.check)
        seconds = time.perf_counter() - begun
        self._board.clear(jobs)
        return seconds


def measure(
    paths: Sequence[Path],
    *,
    rounds: int,
    uploads: int,
    with_naive: bool,
    say: Callable[[str], None] = lambda text: None,
) -> dict[str, Any]:
    """Medians over interleaved rounds on the same pictures; ``uploads`` single ones are timed from commit to stored.

    Raises ``CommandError`` where a way does not work.
    """
    with ExitStack() as parts:
        folder = parts.enter_context(stage())
        routes = _routes(say)
        crew = parts.enter_context(Crew())
        workers = parts.enter_context(CeleryWorkers(lambda: broker.app, folder / "ours.log", queue=broker.QUEUE))
        others = CeleryWorkers(naive.app, folder / "naive.log", queue=naive.QUEUE)
        if with_naive:
            parts.enter_context(others)
        board = Board(Posts(), paths)
        board.furnish()
        limit, ours = Limit(crew, paths), Ours(workers, board)
        plain = Naive(others, board) if with_naive else None
        ways: list[Way] = [limit, ours] + ([plain] if plain else [])
        for number in range(-1, rounds):  # the first warms engines and caches up
            for way in random.sample(ways, len(ways)):
                rate, cpu = way.round(len(paths))
                if number >= 0:
                    way.rates.append(rate)
                    way.cpu.append(cpu)
                name = type(way).__name__.lower()
                say(f"round {number + 1} of {rounds}: {name} {rate:.1f} pictures/s, {1000 * cpu:.0f} ms of processor")
        alone, latencies = _latencies(board, crew, workers, uploads, say)
    return _report(limit, ours, plain, alone, latencies, len(paths)) | {"routes": ", ".join(routes)}


def _routes(say: Callable[[str], None]) -> list[str]:
    """By which routes the networks run, in the limit and in ours: the best of this machine, measured first where nobody
    did, unless the settings name one."""
    if config().RUNTIME != "auto":
        return [config().RUNTIME]
    say("Which routes run the networks fastest here?")
    connections.close_all()
    try:
        # In a process of its own: one that has asked a GPU cannot be forked any more, as workers are.
        with ProcessPoolExecutor(1, get_context("fork")) as apart:
            return apart.submit(_probed).result()
    except Unavailable as error:
        say(f"The usual routes serve. {error.message}")
        return ["auto"]


def _probed() -> list[str]:
    return [choice.route for _, choice in probe_routes()]


def _latencies(
    board: Board, crew: Crew, workers: CeleryWorkers, uploads: int, say: Callable[[str], None]
) -> tuple[list[float], list[float]]:
    """Seconds of decode and forward alone, and from commit to stored suggestions, of the same single pictures."""
    alone, latencies = [], []
    for number in range(-3, uploads):
        path, name = board.pictures[number % len(board.pictures)]
        time.sleep(PAUSE_SECONDS)
        bare = crew.one(path)
        time.sleep(PAUSE_SECONDS)
        jobs = board.upload([name])
        begun = time.perf_counter()
        board.wait(jobs, workers.check, least=bare / 2, poll=POLL_SECONDS)
        if number >= 0:
            alone.append(bare)
            latencies.append(time.perf_counter() - begun)
    say(f"{uploads} single uploads timed")
    return alone, latencies


def _report(
    limit: Limit, ours: Ours, other: Naive | None, alone: list[float], latencies: list[float], pictures: int
) -> dict[str, Any]:
    """Ratios are medians of the rounds' own ratios: what disturbed a round disturbed all of its ways."""
    ratios = [mine / theirs for mine, theirs in zip(ours.rates, limit.rates, strict=True)]
    against = [mine / theirs for mine, theirs in zip(ours.rates, other.rates, strict=True)] if other else []
    return {
        "pictures": pictures,
        "rounds": len(ours.rates),
        "cores": cores(),
        "limit_img_s": round(median(limit.rates), 2),
        "ours_img_s": round(median(ours.rates), 2),
        "naive_img_s": round(median(other.rates), 2) if other else None,
        "ratio_limit": round(median(ratios), 3),
        "ratio_naive": round(median(against), 2) if against else None,
        "one_s": round(median(alone), 4),
        "latency_p50_s": round(median(latencies), 4),
        "latency_p95_s": round(quantiles(latencies, n=20)[18], 4),
        "cpu_s_per_image": round(median(ours.cpu), 4),
        "limit_cpu_s_per_image": round(median(limit.cpu), 4),
        "naive_cpu_s_per_image": round(median(other.cpu), 4) if other else None,
        "pss_mib": round(max(ours.memory), 1),
    }
