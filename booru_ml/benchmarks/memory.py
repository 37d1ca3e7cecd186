"""Whether workers grow: what they weigh over thousands of pictures, with nothing killed and nothing left over."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from booru_ml import broker
from booru_ml.benchmarks.board import Board
from booru_ml.benchmarks.samples import Posts
from booru_ml.benchmarks.stage import stage
from booru_ml.benchmarks.workers import CeleryWorkers

TIMES = 3
"""How often each picture is uploaded between two weighings."""
SETTLED = 4
"""Weighings until every process has seen every picture, and has the memory that it needs."""


def measure(paths: Sequence[Path], *, pictures: int, say: Callable[[str], None] = lambda text: None) -> dict[str, Any]:
    """MiB (PSS) of all worker processes together: at first, at last, at most, and by which they grow per thousand.

    Raises ``CommandError`` where the workers do not work.
    """
    weights: list[float] = []
    seen: list[int] = []
    with ExitStack() as parts:
        folder = parts.enter_context(stage())
        workers = parts.enter_context(CeleryWorkers(lambda: broker.app, folder / "workers.log", queue=broker.QUEUE))
        board = Board(Posts(), paths)
        board.furnish()
        while len(weights) < 2 * SETTLED or seen[-1] < pictures:
            jobs = board.upload(board.names * TIMES)
            board.wait(jobs, workers.check)
            weights.append(workers.pss_mib())
            seen.append(TIMES * len(paths) * len(weights))
            board.clear(jobs)
            say(f"{seen[-1]:,} of {pictures:,} pictures: {weights[-1]:,.0f} MiB")
    return report(seen, weights)


def report(seen: Sequence[int], weights: Sequence[float]) -> dict[str, Any]:
    """What ``weights`` (MiB) after ``seen`` pictures say, once all have settled."""
    after, heavy = seen[SETTLED:], weights[SETTLED:]
    tenth = max(1, len(heavy) // 10)
    return {
        "pictures": seen[-1],
        "pss_mib_first": round(median(heavy[:tenth]), 1),
        "pss_mib_last": round(median(heavy[-tenth:]), 1),
        "pss_mib_most": round(max(weights), 1),
        "growth_mib_per_thousand": round(1000 * float(np.polyfit(after, heavy, 1)[0]), 2),
    }
