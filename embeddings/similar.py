"""Posts near a post. This process's index of one space follows the database by deltas (see ``embeddings.marks``).

Deletions need no news: every hit is looked up in the database before it is given out. The index is cleared of what is
gone when the counts differ, once a minute. A large index begins with a snapshot on disk where there is one, and is
looked after by a thread of its own (``embeddings.upkeep``), so that no question waits for it.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
from django.db import connections, transaction
from django.db.models import QuerySet

from booru_ml.conf import config
from booru_ml.progress import Advance, nobody
from booru_ml.statements import kept, slot, slots
from booru_ml.types import FloatArray
from embeddings import upkeep
from embeddings.index import choose
from embeddings.index.base import Index
from embeddings.index.snapshots import Snapshot
from embeddings.marks import Mark, between
from embeddings.models import Vector
from embeddings.shared import SharedSpace
from embeddings.store import readable
from embeddings.types import IntArray, Neighbour

RECONCILE_SECONDS = 60.0
CHUNK = 2000
KEPT = 4


@dataclass(eq=False)
class Space:
    """The index over the vectors of one model version and kind, and how fresh it is."""

    model_version: str
    kind: str
    index: Index | None = None
    mark: Mark | None = None
    stamps: dict[int, int] = field(default_factory=dict)
    """Of rows that the next delta brings again."""
    reconciled: float = 0.0
    keeper: threading.Thread | None = None
    """Who looks after the index just now."""
    offered: Snapshot | None = None
    """A better index that ``keeper`` found on disk; the next question takes it over."""
    lock: threading.RLock = field(default_factory=threading.RLock)

    @property
    def rows(self) -> QuerySet[Vector]:
        return Vector.objects.filter(model_version=self.model_version, kind=self.kind)

    def search(self, queries: FloatArray, limit: int) -> list[list[tuple[int, float]]]:
        """(id, cosine) of the ``limit`` rows nearest to each of (N, D), of the database as it is now."""
        with self.lock:
            self._sync()
            if self.index is None or not len(self.index):
                return [[] for _ in queries]
            values, ids = self.index.search(queries, min(limit, len(self.index)))
            upkeep.wake(self)
        return [
            [(id_, value) for id_, value in zip(*row, strict=True) if id_ >= 0]
            for row in zip(ids.tolist(), values.tolist(), strict=True)
        ]

    def _sync(self) -> None:
        using = Vector.objects.db
        now = Mark.now(using)
        if self.mark is None and self.index is None:
            self.offered = upkeep.stored(self)
        if self.offered and self._take_over(now):
            pass
        elif self.mark is None:
            self.read_all(now)
        else:
            self._read_news(self.mark, now)
        # Rows of a transaction that is rolled back later must be asked for again.
        transaction.on_commit(partial(self._advance, now), using=using)
        if time.monotonic() - self.reconciled >= RECONCILE_SECONDS:
            self._reconcile()

    def _advance(self, mark: Mark) -> None:
        with self.lock:
            if self.mark is None or mark.low >= self.mark.low:
                self.mark = mark
                self.stamps = {id_: stamp for id_, stamp in self.stamps.items() if mark.repeats(stamp)}

    def _take_over(self, now: Mark) -> bool:
        """Goes on from the index that is offered, if it is of this database and its past."""
        snapshot, self.offered = self.offered, None
        if snapshot is None:
            return False
        there, mark = self._present(), upkeep.mark_of(snapshot)
        snapshot.index.remove(np.setdiff1d(snapshot.index.ids(), there))
        if mark.is_after(now) or not upkeep.agrees(snapshot.index, self.rows):
            upkeep.discard(self)
            return False
        self.index, self.mark, self.stamps = snapshot.index, mark, {}
        self._read(np.setdiff1d(there, self.index.ids()).tolist())
        self._read_news(mark, now)
        return True

    def read_all(self, now: Mark, advance: Advance = nobody) -> None:
        """Every row, from the first; ``advance`` hears how many were read."""
        last = 0
        while chunk := list(self.rows.filter(id__gt=last).order_by("id").values_list("id", "stamp", "data")[:CHUNK]):
            last = chunk[-1][0]
            self._add([(id_, data) for id_, _, data in chunk])
            self.stamps |= {id_: stamp for id_, stamp, _ in chunk if now.repeats(stamp)}
            advance(len(chunk))

    def _read_news(self, before: Mark, now: Mark) -> None:
        news = _news(Vector.objects.db)
        found = dict(news.rows(model_version=self.model_version, kind=self.kind, **before.bounds(now)))
        self._read([id_ for id_, stamp in found.items() if self.stamps.get(id_) != stamp])
        self.stamps |= found

    def _read(self, ids: Sequence[int]) -> None:
        for start in range(0, len(ids), CHUNK):
            self._add(_by_ids(Vector.objects.db, "data").rows(id=ids[start : start + CHUNK]))

    def _add(self, rows: Sequence[tuple[int, bytes | memoryview]]) -> None:
        keys, vectors = readable(rows, dimension=None if self.index is None else self.index.dimension)
        if not keys:
            return
        ids = np.array(keys, dtype=np.int64)
        if self.index is None:
            self.index = choose.build(vectors.shape[1], ids, vectors)
        else:
            self.index.add(ids, vectors)
            self.index = choose.grown(self.index)

    def _reconcile(self) -> None:
        self.reconciled = time.monotonic()
        if self.index is None or self.rows.count() == len(self.index):
            return
        there = self._present()
        gone = np.setdiff1d(self.index.ids(), there)
        self.index.remove(gone)
        for id_ in gone.tolist():
            self.stamps.pop(id_, None)
        missing = np.setdiff1d(there, self.index.ids())
        self._read(missing.tolist())

    def _present(self) -> IntArray:
        return np.fromiter(self.rows.values_list("id", flat=True).iterator(), dtype=np.int64)


class Spaces:
    """The spaces this process has been asked about, the latest ``KEPT``."""

    def __init__(self) -> None:
        self._held: OrderedDict[tuple[str, str], Space | SharedSpace] = OrderedDict()
        self._lock = threading.Lock()

    def __getitem__(self, key: tuple[str, str]) -> Space | SharedSpace:
        with self._lock:
            space = self._held.setdefault(key, SharedSpace(*key) if config().VECTOR_STORE else Space(*key))
            self._held.move_to_end(key)
            while len(self._held) > KEPT:
                self._held.popitem(last=False)
            return space


spaces = Spaces()


def nearest(
    query: FloatArray, *, model_version: str, kind: str, limit: int, without: Any = None
) -> tuple[Neighbour, ...]:
    """The posts nearest to an L2-normalised query (D,), each once, best first; ``without`` is left out."""
    return nearest_each(query[None], model_version=model_version, kind=kind, limit=limit, without=without)[0]


def nearest_each(
    queries: FloatArray, *, model_version: str, kind: str, limit: int, without: Any = None, least: float = -1.0
) -> list[tuple[Neighbour, ...]]:
    """As ``nearest`` for each of (N, D), with one look into index and database; from a cosine of ``least`` on."""
    space = spaces[model_version, kind]
    ask = limit + 16
    while True:
        hits = [[hit for hit in row if hit[1] >= least] for row in space.search(queries, ask)]
        posts = _posts(list({id_ for row in hits for id_, _ in row}))
        found = [_by_post(row, posts, without) for row in hits]
        if all(len(near) >= limit or len(row) < ask for near, row in zip(found, hits, strict=True)):
            return [near[:limit] for near in found]
        ask *= 4  # several faces of one post, or rows deleted since: look further


def _by_post(hits: list[tuple[int, float]], posts: dict[int, tuple[Any, int]], without: Any) -> tuple[Neighbour, ...]:
    """The best hit of each post that is still there."""
    near: dict[Any, Neighbour] = {}
    for id_, similarity in hits:
        if id_ in posts and posts[id_][0] != without:
            post_id, number = posts[id_]
            near.setdefault(post_id, Neighbour(post_id, min(similarity, 1.0), number))
    return tuple(near.values())


def _posts(ids: list[int]) -> dict[int, tuple[Any, int]]:
    rows = _by_ids(Vector.objects.db, "post_id", "number").rows(id=ids)
    return {id_: (post_id, number) for id_, post_id, number in rows}


@kept
def _news(using: str) -> QuerySet[Any]:
    """Rows of a space between two marks."""
    rows = Vector.objects.using(using).filter(model_version=slot(Vector, "model_version"), kind=slot(Vector, "kind"))
    low, high = slot(Vector, "stamp", "low"), slot(Vector, "stamp", "high")
    return rows.filter(between(connections[using].vendor, low, high)).values_list("id", "stamp")


@kept
def _by_ids(using: str, *columns: str) -> QuerySet[Any]:
    return Vector.objects.using(using).filter(pk__in=slots(Vector, "id")).values_list("id", *columns)
