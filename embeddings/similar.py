"""Posts near a post. This process's index of one space follows the database by deltas that miss nothing.

PostgreSQL: every row carries the number of the transaction that wrote it. ``pg_snapshot_xmin`` is the lowest number
still under way, so whatever is invisible now was or will be written under that number or a higher one: asking next time
for stamps from there on finds it, in whatever order transactions commit. SQLite has one writer at a time and never
reuses an id that was committed: ids beyond the last one seen are all there is. A row is never changed in place there.

Deletions need no news: every hit is looked up in the database before it is given out. The index is cleared of what is
gone when the counts differ, once a minute.
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
from django.db.models import Q, QuerySet

from booru_ml.conf import config
from booru_ml.types import FloatArray
from embeddings.index import choose
from embeddings.index.base import Index
from embeddings.models import Vector
from embeddings.store import readable
from embeddings.types import Neighbour

RECONCILE_SECONDS = 60.0
CHUNK = 2000
KEPT = 4

# A dump restored into another cluster brings stamps of a future there; far ones are no news.
_FUTURE = 1 << 20


@dataclass(frozen=True, slots=True)
class Mark:
    """How far a reader has come: rows that fulfil ``news(before, now)`` are all it may have missed since ``before``."""

    vendor: str
    low: int
    high: int

    @classmethod
    def now(cls, rows: QuerySet[Vector]) -> Mark:
        """Where the database stands; take it before reading the rows."""
        connection = connections[rows.db]
        if connection.vendor == "postgresql":
            with connection.cursor() as cursor:
                cursor.execute(
                    "SELECT pg_snapshot_xmin(s)::text::bigint, pg_snapshot_xmax(s)::text::bigint"
                    " FROM pg_current_snapshot() AS s"
                )
                low, high = cursor.fetchone()
            return cls("postgresql", low, high)
        last = rows.order_by("-id").values_list("id", flat=True).first() or 0
        return cls(connection.vendor, last, last)

    def repeats(self, stamp: int) -> bool:
        """Whether the next delta brings a row of this stamp again."""
        return self.vendor == "postgresql" and stamp >= self.low

    def news(self, now: Mark) -> Q:
        if self.vendor == "postgresql":
            return Q(stamp__gte=self.low, stamp__lt=now.high + _FUTURE)
        return Q(id__gt=self.low)


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
        return [
            [(id_, value) for id_, value in zip(*row, strict=True) if id_ >= 0]
            for row in zip(ids.tolist(), values.tolist(), strict=True)
        ]

    def _sync(self) -> None:
        now = Mark.now(self.rows)
        if self.mark is None:
            self._read_all(now)
        else:
            self._read_news(self.mark.news(now))
        # Rows of a transaction that is rolled back later must be asked for again.
        transaction.on_commit(partial(self._advance, now), using=self.rows.db)
        if time.monotonic() - self.reconciled >= RECONCILE_SECONDS:
            self._reconcile()

    def _advance(self, mark: Mark) -> None:
        with self.lock:
            if self.mark is None or mark.low >= self.mark.low:
                self.mark = mark
                self.stamps = {id_: stamp for id_, stamp in self.stamps.items() if mark.repeats(stamp)}

    def _read_all(self, now: Mark) -> None:
        last = 0
        while chunk := list(self.rows.filter(id__gt=last).order_by("id").values_list("id", "stamp", "data")[:CHUNK]):
            last = chunk[-1][0]
            self._add([(id_, data) for id_, _, data in chunk])
            self.stamps |= {id_: stamp for id_, stamp, _ in chunk if now.repeats(stamp)}

    def _read_news(self, news: Q) -> None:
        found = dict(self.rows.filter(news).values_list("id", "stamp"))
        self._read([id_ for id_, stamp in found.items() if self.stamps.get(id_) != stamp])
        self.stamps |= found

    def _read(self, ids: Sequence[int]) -> None:
        for start in range(0, len(ids), CHUNK):
            self._add(list(self.rows.filter(pk__in=ids[start : start + CHUNK]).values_list("id", "data")))

    def _add(self, rows: Sequence[tuple[int, bytes | memoryview]]) -> None:
        keys, vectors = readable(rows)
        if not keys:
            return
        ids = np.array(keys, dtype=np.int64)
        if self.index is None:
            self.index = choose.build(vectors.shape[1], ids, vectors, threads=config().THREADS)
        else:
            self.index.add(ids, vectors)
            self.index = choose.grown(self.index, threads=config().THREADS)

    def _reconcile(self) -> None:
        self.reconciled = time.monotonic()
        if self.index is None or self.rows.count() == len(self.index):
            return
        there = np.fromiter(self.rows.values_list("id", flat=True).iterator(), dtype=np.int64)
        gone = np.setdiff1d(self.index.ids(), there)
        self.index.remove(gone)
        for id_ in gone.tolist():
            self.stamps.pop(id_, None)
        missing = np.setdiff1d(there, self.index.ids())
        self._read(missing.tolist())


class Spaces:
    """The spaces this process has been asked about, the latest ``KEPT``."""

    def __init__(self) -> None:
        self._held: OrderedDict[tuple[str, str], Space] = OrderedDict()
        self._lock = threading.Lock()

    def __getitem__(self, key: tuple[str, str]) -> Space:
        with self._lock:
            space = self._held.setdefault(key, Space(*key))
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
    queries: FloatArray, *, model_version: str, kind: str, limit: int, without: Any = None
) -> list[tuple[Neighbour, ...]]:
    """As ``nearest`` for each of (N, D), with one look into index and database."""
    space = spaces[model_version, kind]
    ask = limit + 16
    while True:
        hits = space.search(queries, ask)
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
    rows = Vector.objects.filter(pk__in=ids).values_list("id", "post_id", "number")
    return {id_: (post_id, number) for id_, post_id, number in rows}
