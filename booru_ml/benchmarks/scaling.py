"""What more workers bring: one on one core beside one on every core, on the same rows in turn."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from typing import Any

from booru_ml import broker
from booru_ml.benchmarks.board import Board
from booru_ml.benchmarks.limit import cores
from booru_ml.benchmarks.pipeline import Ours
from booru_ml.benchmarks.samples import Posts
from booru_ml.benchmarks.stage import stage
from booru_ml.benchmarks.workers import CeleryWorkers


def measure(paths: Sequence[Path], *, rounds: int, say: Callable[[str], None] = lambda text: None) -> dict[str, Any]:
    """Pictures per second of one worker pinned to one core, and of one worker per core. Database and broker share the
    cores with them."""
    with ExitStack() as parts:
        folder = parts.enter_context(stage())
        one, all_ = (
            parts.enter_context(
                CeleryWorkers(lambda: broker.app, folder / f"{most}.log", queue=broker.QUEUE, most=most)
            )
            for most in (1, None)
        )
        board = Board(Posts(), paths)
        board.furnish()
        rates: dict[CeleryWorkers, list[float]] = {one: [], all_: []}
        all_.sleep()
        for number in range(-1, rounds):  # the first warms engines and caches up
            for workers, other in ((one, all_), (all_, one)):
                other.sleep()
                workers.wake()
                rate, _ = Ours(workers, board).round(len(paths))
                if number >= 0:
                    rates[workers].append(rate)
                say(f"round {number + 1} of {rounds}: {1 if workers is one else cores()} workers {rate:.1f} pictures/s")
    ratios = [many / single for many, single in zip(rates[all_], rates[one], strict=True)]
    return {
        "pictures": len(paths),
        "rounds": rounds,
        "workers": cores(),
        "one_img_s": round(median(rates[one]), 2),
        "all_img_s": round(median(rates[all_]), 2),
        "ratio": round(median(ratios), 2),
    }
