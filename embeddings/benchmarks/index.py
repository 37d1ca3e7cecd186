"""The index beside hnswlib, usearch and NumPy: building, adding, deleting, searching, recall and memory."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from itertools import product
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from booru_ml.types import FloatArray
from embeddings.benchmarks.rivals import RIVALS, Ours, missing
from embeddings.benchmarks.vectors import drawn
from embeddings.index import tuning
from embeddings.index.base import load_faiss
from embeddings.types import IntArray

QUERIES = 500
TURNS = 11
"""How often each query is asked: a single search of 50 µs says more about the machine than about the index."""
BATCH = 64
CHANGED = 200
"""Vectors added one by one, then deleted at once."""
NEIGHBOURS = tuning.NEIGHBOURS
CHUNK = 10_000

Say = Callable[[str], None]
Row = dict[str, Any]


def measure(
    *, dimensions: Sequence[int], sizes: Sequence[int], without: Sequence[str] = (), say: Say = lambda text: None
) -> list[Row]:
    """A row for each dimension, size and index. One thread each, the searches interleaved query by query.

    Ours searches with the effort that it found for itself; the others with the least that reaches ours' recall.
    """
    names = [name for name in RIVALS if name not in without]
    for name in [name for name in names if missing(name)]:
        say(f"{name} is left out: it is not installed (pip install 'booru-ml[bench]').")
        names.remove(name)
    from threadpoolctl import threadpool_limits

    load_faiss()  # so that its code does not count as an index's memory
    with threadpool_limits(1):
        return [row for dimension in dimensions for size in sizes for row in _compare(dimension, size, names, say)]


def _compare(dimension: int, size: int, names: Sequence[str], say: Say) -> list[Row]:
    every = drawn(size + CHANGED + QUERIES, dimension)
    stored, more, queries = every[:size], every[size : size + CHANGED], every[size + CHANGED :]
    built = [_build(name, stored, more, say) for name in names]
    rivals = {row["index"]: index for row, index in built}
    rows = {row["index"]: row for row, _ in built}
    least = _least_products(stored, queries)
    for name, index in rivals.items():  # ours is the first
        _match(name, index, rows, stored, queries, least)
    _time(rivals, rows, queries)
    for name, row in rows.items():
        for ratio, figure in (("times_ours", "p50_ms"), ("times_ours_p99", "query_p99_ms")):
            row[ratio] = round(row[figure] / rows["ours"][figure], 2) if "ours" in rows else None
        say(f"{name}: " + " ".join(f"{key} {value}" for key, value in row.items() if key != "index"))
    return list(rows.values())


def _build(name: str, stored: FloatArray, more: FloatArray, say: Say) -> tuple[Row, Any]:
    """The index over ``stored``, after ``more`` came and went."""
    before, size = _resident(), len(stored)
    index = RIVALS[name](stored.shape[1], size + len(more))
    with _Clock() as build:
        for start in range(0, size, CHUNK):
            index.add(np.arange(start, min(start + CHUNK, size)), stored[start : start + CHUNK])
            if isinstance(index, Ours):
                index.fold_nearly_all()
            if start and start % (10 * CHUNK) == 0:
                say(f"{name}: {start} of {size}")
        if isinstance(index, Ours):
            index.settle()
    memory = _resident() - before
    with _Clock() as add:
        for number, vector in enumerate(more):
            index.add(np.array([size + number]), vector[None])
        if isinstance(index, Ours):
            index.settle()
    with _Clock() as delete:
        index.remove(np.arange(size, size + len(more)))
    row = {
        "dimension": stored.shape[1],
        "vectors": size,
        "index": name,
        "kind": type(index.index).__name__ if isinstance(index, Ours) else name,
        "build_s": round(build.wall, 2),
        "build_cpu_s": round(build.processor, 2),
        "add_ms": round(1000 * add.processor / len(more), 3),
        "delete_ms": round(1000 * delete.processor / len(more), 3),
        "mib": round(memory, 1),
    }
    return row, index


def _match(
    name: str, index: Any, rows: dict[str, Row], stored: FloatArray, queries: FloatArray, least: FloatArray
) -> None:
    """The recall of ours; of the others, the least effort that reaches it."""
    target = rows["ours"]["recall"] if name != "ours" and "ours" in rows else tuning.LEAST
    for effort in index.efforts or (None,):
        if effort is not None:
            index.try_as_hard_as(effort)
        recall = _recall(index.search(queries, NEIGHBOURS), stored, queries, least)
        if recall >= target:
            break
    rows[name]["recall"] = round(recall, 4)
    rows[name]["effort"] = effort or getattr(getattr(index, "index", None), "effort", None)


def _time(rivals: dict[str, Any], rows: dict[str, Row], queries: FloatArray) -> None:
    """``p50_ms`` and ``p99_ms`` are of all searches, what else the machine did included; ``query_p99_ms`` is of the
    queries, each by the median of its searches."""
    single = _asked(rivals, list(queries[:, None]))
    batches = _asked(rivals, np.split(queries, range(BATCH, len(queries), BATCH))[:-1])
    for name, row in rows.items():
        every = [clock for turns in single[name] for clock in turns]
        row["p50_ms"], row["p99_ms"] = _percentiles([clock.wall for clock in every])
        row["query_p99_ms"] = _percentiles([median(clock.wall for clock in turns) for turns in single[name]])[1]
        row["cpu_p50_ms"], row["cpu_p99_ms"] = _percentiles([clock.processor for clock in every])
        each = [clock.wall / BATCH for turns in batches[name] for clock in turns]
        row["batch64_p50_ms"], row["batch64_p99_ms"] = _percentiles(each)


def _asked(rivals: dict[str, Any], questions: Sequence[FloatArray]) -> dict[str, list[list[_Clock]]]:
    """What each of ``questions`` took, in turns; NumPy, which takes the same for every one, is asked a few once."""
    quick = [name for name in rivals if name != "numpy"]
    clocks: dict[str, list[list[_Clock]]] = {name: [[] for _ in questions] for name in quick}
    for _ in range(TURNS):
        quick.reverse()  # who comes first finds the question cold
        for number, name in product(range(len(questions)), quick):
            clocks[name][number].append(_search(rivals[name], questions[number]))
    if "numpy" in rivals:  # its scans would take the others' place in the caches, so they come last
        clocks["numpy"] = [[_search(rivals["numpy"], some)] for some in questions[:: 1 + len(questions) // 50]]
    return clocks


def _search(index: Any, queries: FloatArray) -> _Clock:
    with _Clock() as clock:
        index.search(queries, NEIGHBOURS)
    return clock


def _percentiles(seconds: Sequence[float]) -> tuple[float, float]:
    """The 50th and the 99th, in ms."""
    middle, slow = 1000 * np.percentile(seconds, (50, 99))
    return round(float(middle), 3), round(float(slow), 3)


def _least_products(stored: FloatArray, queries: FloatArray) -> FloatArray:
    """(Q,) the product of each query's tenth neighbour, exactly."""
    best = np.full((len(queries), NEIGHBOURS), -np.inf, dtype=np.float32)
    for start in range(0, len(stored), CHUNK):
        both = np.concatenate([best, queries @ stored[start : start + CHUNK].T], axis=1)
        best = -np.partition(-both, NEIGHBOURS - 1, axis=1)[:, :NEIGHBOURS]
    least: FloatArray = best.min(axis=1)
    return least


def _recall(ids: IntArray, stored: FloatArray, queries: FloatArray, least: FloatArray) -> float:
    products = np.einsum("qkd,qd->qk", stored[np.where(ids < 0, 0, ids)], queries)
    return float(((products >= least[:, None] - tuning.SAME) & (ids >= 0)).mean())


def _resident() -> float:
    """MiB of this process in memory."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096 / 2**20


class _Clock:
    """Seconds of wall and of processor; the latter do not count what else the machine does."""

    def __enter__(self) -> _Clock:
        self.wall, self.processor = time.perf_counter(), time.process_time()
        return self

    def __exit__(self, *error: object) -> None:
        self.wall, self.processor = time.perf_counter() - self.wall, time.process_time() - self.processor
