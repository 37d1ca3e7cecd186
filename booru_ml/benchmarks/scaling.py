"""What another core brings: stacks of one worker and one database, each on a core of its own, alone and all at once."""

from __future__ import annotations

import multiprocessing
import os
import random
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection, wait
from pathlib import Path
from statistics import median
from typing import Any

from django.core.management.base import CommandError

TIMES = 3
"""How often a stack's rows name each picture: several batches."""
STOP_SECONDS = 30.0

_context = multiprocessing.get_context("spawn")


class Stack:
    """Everything that one worker with one child needs, pinned to one core: a database and a broker of its own, and the
    process that asks whether all is done; beside them one that decodes and infers and nothing else, for the limit. What
    is not asked for stands still."""

    def __init__(self, core: int, paths: Sequence[Path]) -> None:
        self._core = core
        self._pipe, theirs = _context.Pipe()
        self._process = _context.Process(target=_serve, args=(core, list(paths), theirs))
        self._process.start()
        theirs.close()

    def tell(self, way: str) -> None:
        """To make ready for this way; told once more, to go."""
        with suppress(BrokenPipeError):  # heard() says so
            self._pipe.send(way)

    def heard(self) -> float:
        """The clock when it was ready or done. Raises ``CommandError`` with what went wrong."""
        said: float | CommandError | None = None
        wait([self._pipe, self._process.sentinel])
        with suppress(EOFError):
            said = self._pipe.recv() if self._pipe.poll() else None
        if said is None:
            raise CommandError(f"The measurement on core {self._core} has died; what it said stands above.")
        if isinstance(said, CommandError):
            raise said
        return said

    def dismiss(self) -> None:
        self._pipe.close()

    def join(self) -> None:
        self._process.join(STOP_SECONDS)
        self._process.kill()


def measure(paths: Sequence[Path], *, rounds: int, say: Callable[[str], None] = lambda text: None) -> dict[str, Any]:
    """Pictures per second of one stack while the others stand still, and of all at once; the same of the bare
    arithmetic, which shows what the machine itself gives."""
    with _stacks(paths) as stacks:
        arms = [(way, alone) for way in ("limit", "ours") for alone in (True, False)]
        rates: dict[tuple[str, bool], list[float]] = {arm: [] for arm in arms}
        for way in ("limit", "ours"):
            _seconds(way, stacks)  # warms engines and caches up
        for number in range(rounds):
            for way, alone in random.sample(arms, len(arms)):
                busy = [stacks[number % len(stacks)]] if alone else stacks
                rate = TIMES * len(paths) * len(busy) / _seconds(way, busy)
                rates[way, alone].append(rate)
                say(f"round {number + 1} of {rounds}: {way}, {len(busy)} at once, {rate:.1f} pictures/s")
    return {
        "pictures": len(paths),
        "rounds": rounds,
        "stacks": len(stacks),
        "one_img_s": round(median(rates["ours", True]), 2),
        "all_img_s": round(median(rates["ours", False]), 2),
        "ratio": _ratio(rates["ours", False], rates["ours", True]),
        "limit_one_img_s": round(median(rates["limit", True]), 2),
        "limit_all_img_s": round(median(rates["limit", False]), 2),
        "limit_ratio": _ratio(rates["limit", False], rates["limit", True]),
    }


@contextmanager
def _stacks(paths: Sequence[Path]) -> Iterator[list[Stack]]:
    """One on every core that this process may use, ready."""
    stacks = [Stack(core, paths) for core in sorted(os.sched_getaffinity(0))]
    try:
        for stack in stacks:
            stack.heard()
        yield stacks
    finally:
        for stack in stacks:
            stack.dismiss()
        for stack in stacks:
            stack.join()


def _ratio(many: Sequence[float], one: Sequence[float]) -> float:
    return round(median(all_ / alone for all_, alone in zip(many, one, strict=True)), 2)


def _seconds(way: str, stacks: Sequence[Stack]) -> float:
    """From when all may begin until the last is done."""
    for _ in ("ready", "go"):
        begun = time.perf_counter()
        for stack in stacks:
            stack.tell(way)
        ends = [stack.heard() for stack in stacks]
    return max(ends) - begun


def _serve(core: int, paths: list[Path], pipe: Connection) -> None:
    os.sched_setaffinity(0, {core})  # what starts from here on inherits it
    import django

    django.setup()
    from booru_ml import broker
    from booru_ml.benchmarks.board import Board
    from booru_ml.benchmarks.limit import Crew
    from booru_ml.benchmarks.samples import Posts
    from booru_ml.benchmarks.stage import stage
    from booru_ml.benchmarks.workers import CeleryWorkers

    try:
        with (
            stage(beside=str(core)) as folder,
            Crew() as crew,
            CeleryWorkers(lambda: broker.app, folder / "log", queue=broker.QUEUE) as workers,
        ):
            workers.sleep()
            board = Board(Posts(), paths)
            board.furnish()
            pipe.send(time.perf_counter())
            while True:
                jobs = board.upload(board.names * TIMES) if pipe.recv() == "ours" else []
                pipe.send(time.perf_counter())
                pipe.recv()
                if jobs:
                    workers.wake()
                    board.wait(jobs, workers.check)
                else:
                    crew.run(paths * TIMES)
                done = time.perf_counter()  # one clock for all processes of a machine
                if jobs:
                    workers.sleep()
                    board.clear(jobs)
                pipe.send(done)
    except CommandError as error:
        pipe.send(error)
    except (EOFError, ConnectionError):  # who measures has gone
        return
