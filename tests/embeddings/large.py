"""A board of a few hundred vectors that counts as a large one, and the process that answers about it."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from embeddings import similar, store, upkeep
from embeddings.benchmarks.vectors import drawn
from embeddings.index import choose
from embeddings.marks import Mark
from embeddings.models import Vector
from tests.embeddings.factories import SIZE, VERSION, post

COUNT = 400


@pytest.fixture(autouse=True)
def large_soon(monkeypatch: pytest.MonkeyPatch, settings, tmp_path: Path) -> Iterator[Path]:
    """A few hundred vectors are many. Gives the folder of the snapshots."""
    monkeypatch.setattr(choose, "FAISS_FROM", 100)
    monkeypatch.setattr(upkeep, "FOLD_FROM", 40)
    monkeypatch.setattr(similar, "RECONCILE_SECONDS", 0.0)
    settings.BOORU_ML = {**settings.BOORU_ML, "CACHE_DIR": str(tmp_path)}
    yield tmp_path / "indexes"
    for thread in threading.enumerate():
        if thread.name.startswith("index of"):
            thread.join(20)


@pytest.fixture
def board() -> np.ndarray:
    """The vectors of ``COUNT`` posts, in the order of their ids."""
    every = drawn(COUNT, SIZE)
    shown = post()
    rows = [Vector(post=shown, number=n, kind="picture", model_version=VERSION, data=store.encode(vector))
            for n, vector in enumerate(every)]  # fmt: skip
    Vector.objects.bulk_create(rows)
    _settle()
    return every


def _settle() -> None:
    """Until no transaction, of other tests either, is older than these rows: till then readers ask for them again."""
    last = max(Vector.objects.values_list("stamp", flat=True))
    patience = time.monotonic() + 20
    while Mark.now("default").repeats(last) and time.monotonic() < patience:
        time.sleep(0.02)


def restarted(monkeypatch: pytest.MonkeyPatch) -> similar.Space:
    monkeypatch.setattr(similar, "spaces", similar.Spaces())
    return similar.spaces[VERSION, "picture"]


def settled(monkeypatch: pytest.MonkeyPatch) -> similar.Space:
    """A process whose index stands and has been written."""
    space = restarted(monkeypatch)
    space.search(drawn(1, SIZE), 1)
    assert space.keeper
    space.keeper.join(20)
    assert not space.keeper.is_alive()
    return space


@contextmanager
def vectors_read() -> Iterator[list[int]]:
    """The ids of the rows whose vectors are read."""
    seen_ids: list[int] = []
    real = similar.readable

    def noticed(rows, **how):
        seen_ids.extend(id_ for id_, _ in rows)
        return real(rows, **how)

    similar.readable = noticed
    try:
        yield seen_ids
    finally:
        similar.readable = real


def answers(space: similar.Space, board: np.ndarray) -> list[list[int]]:
    return [[id_ for id_, _ in row] for row in space.search(board[:20], 5)]


def truth(board: np.ndarray) -> list[list[int]]:
    ids, vectors = store.readable(list(Vector.objects.order_by("id").values_list("id", "data")))
    order = np.argsort(-(board[:20] @ vectors.T), axis=1, kind="stable")[:, :5]
    return np.array(ids)[order].tolist()


def nearly(found: list[list[int]], true: list[list[int]]) -> bool:
    """As right as a graph has to be."""
    return sum(len(set(one) & set(other)) for one, other in zip(found, true, strict=True)) >= 0.98 * 5 * len(true)
