"""The index beside hnswlib, usearch and NumPy: building, adding, deleting, searching, recall and memory."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from booru_ml.types import FloatArray
from embeddings.benchmarks.rivals import RIVALS, Ours, missing
from embeddings.benchmarks.vectors import drawn
from embeddings.index import tuning
from embeddings.types import IntArray

QUERIES = 500
BATCH = 64
BATCHES = 5
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
        row["times_ours"] = round(row["p50_ms"] / rows["ours"]["p50_ms"], 2) if "ours" in rows else None
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
    wall: dict[str, list[float]] = {name: [] for name in rivals}
    processor: dict[str, list[float]] = {name: [] for name in rivals}
    # NumPy's scans would take the others' place in the caches, so they come last.
    turns = [(name, number) for number in range(len(queries)) for name in rivals if name != "numpy"]
    turns += [("numpy", number) for number in range(0, len(queries), 10) if "numpy" in rivals]
    for name, number in turns:
        with _Clock() as one:
            rivals[name].search(queries[number : number + 1], NEIGHBOURS)
        wall[name].append(1000 * one.wall)
        processor[name].append(1000 * one.processor)
    for name, index in rivals.items():
        row = rows[name]
        row["p50_ms"], row["p99_ms"] = (round(float(np.percentile(wall[name], at)), 3) for at in (50, 99))
        row["cpu_p50_ms"], row["cpu_p99_ms"] = (round(float(np.percentile(processor[name], at)), 3) for at in (50, 99))
        batches = []
        for turn in range(BATCHES):
            with _Clock() as batch:
                index.search(queries[turn * BATCH : (turn + 1) * BATCH], NEIGHBOURS)
            batches.append(1000 * batch.wall / BATCH)
        row["batch64_p50_ms"], row["batch64_p99_ms"] = (round(float(np.percentile(batches, at)), 3) for at in (50, 99))


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
