"""A space whose index is shared by all processes: a Milvus collection that follows the database.

The database is the truth. A ``Collection`` row says how far the collection has come; what came after it, this reader
sees in the database itself and compares by hand. So an answer is as fresh as the reader's own transaction, rows not
committed yet included, whoever brings the collection forward and whenever. That is done by a thread of the process that
noticed it first, with the row locked, so that every delta is applied once and in order; if that process dies, its lock
is gone with it and the next one starts where the row stands.
"""

from __future__ import annotations

import hashlib
import logging
import secrets
import threading
import time
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cache
from typing import Any

import numpy as np
from django.db import DatabaseError, InterfaceError, connections, router, transaction
from django.db.models import Q, QuerySet
from django.utils import timezone

from booru_ml.conf import config
from booru_ml.errors import BooruError, Unavailable
from booru_ml.progress import Advance, nobody
from booru_ml.types import FloatArray
from embeddings.index.base import best_of
from embeddings.index.exact import NumpyIndex
from embeddings.index.milvus import MilvusIndex, Missing, Store
from embeddings.marks import Mark
from embeddings.models import Collection, Vector
from embeddings.store import readable

log = logging.getLogger(__name__)

BESIDE = 5000
"""Most rows that a reader compares by hand; while more are missing, the index is said to be building."""
ASK_FROM = 200
"""Rows after the mark from which it is worth asking which of them are in the collection already."""
MOST_LISTED = 100 * BESIDE
MOST = 16_384
"""Milvus gives no more at once."""
CHUNK = 2000
RECONCILE = timedelta(minutes=10)


@cache
def store(address: str) -> Store:
    return Store(address)


@dataclass(eq=False)
class SharedSpace:
    """The vectors of one model version and kind, in the store that ``VECTOR_STORE`` names."""

    model_version: str
    kind: str
    _applied: dict[int, int] = field(default_factory=dict)
    """Stamps of rows after the mark that are known to be in the collection."""
    _read: dict[int, tuple[int, FloatArray]] = field(default_factory=dict)
    """Stamps and vectors of rows that are compared by hand."""
    _keeper: threading.Thread | None = None
    _lock: threading.RLock = field(default_factory=threading.RLock)

    @property
    def rows(self) -> QuerySet[Vector]:
        return Vector.objects.filter(model_version=self.model_version, kind=self.kind)

    def search(self, queries: FloatArray, limit: int) -> list[list[tuple[int, float]]]:
        """(id, cosine) of the ``limit`` rows nearest to each of (N, D), of the database as it is now.

        Raises ``Unavailable`` where the store does not answer or is still being filled.
        """
        limit = min(limit, MOST)
        row = Collection.objects.filter(**self._key()).exclude(name="").first()
        index = MilvusIndex(self._store, row.name, queries.shape[1]) if row else None
        try:
            beside = self._beside(row, index, queries.shape[1])
            found = beside.search(queries, limit)
            if index is not None:
                values, ids = index.search(queries, min(limit + len(beside), MOST))
                values[np.isin(ids, beside.ids())] = -np.inf  # an earlier word of the same row
                ids[np.isneginf(values)] = -1
                found = best_of(found, (values, ids), limit)
        except Missing:
            self._wake()
            raise Unavailable("The index of similar pictures is being built.", code="index_building") from None
        if row is None or not row.complete or len(beside) or self._due(row):
            self._wake()
        return [
            [(id_, value) for id_, value in zip(*one, strict=True) if id_ >= 0]
            for one in zip(found[1].tolist(), found[0].tolist(), strict=True)
        ]

    # --- What is newer than the collection -----------------------------------------------------------------------

    def _beside(self, row: Collection | None, index: MilvusIndex | None, dimension: int) -> NumpyIndex:
        """The rows that the collection may not have yet, as this reader's transaction sees them."""
        with self._lock:
            wanted = dict(self.rows.filter(self._after(row)).values_list("id", "stamp")[:MOST_LISTED])
            missing = {id_: stamp for id_, stamp in wanted.items() if self._applied.get(id_) != stamp}
            if index is not None and len(missing) > ASK_FROM:
                there = index.stamps(missing)
                known = {id_: stamp for id_, stamp in missing.items() if there.get(id_) == stamp}
                self._applied = {**{id_: s for id_, s in self._applied.items() if id_ in wanted}, **known}
                missing = {id_: stamp for id_, stamp in missing.items() if id_ not in known}
            if len(missing) > BESIDE:
                self._wake()
                message = "The index of similar pictures is being built; searches work again when it is done."
                raise Unavailable(message, code="index_building", waiting=len(missing))
            self._read = {id_: read for id_, read in self._read.items() if missing.get(id_) == read[0]}
            self._fetch([id_ for id_ in missing if id_ not in self._read], missing, dimension)
            beside = NumpyIndex(dimension)
            if self._read:
                vectors = np.stack([vector for _, vector in self._read.values()])
                beside.add(np.fromiter(self._read, dtype=np.int64), vectors)
            return beside

    def _fetch(self, ids: list[int], stamps: dict[int, int], dimension: int) -> None:
        for start in range(0, len(ids), CHUNK):
            found = list(self.rows.filter(pk__in=ids[start : start + CHUNK]).values_list("id", "data"))
            keys, vectors = readable(found, dimension=dimension)
            self._read |= {id_: (stamps[id_], vector) for id_, vector in zip(keys, vectors, strict=True)}

    def _after(self, row: Collection | None) -> Q:
        if row is None:
            return Q()
        news = self._mark(row).news(Mark.now(self.rows.db))
        return news if row.complete else news | Q(id__gt=row.filled_to)

    # --- How the collection comes forward ------------------------------------------------------------------------

    def _wake(self) -> None:
        with self._lock:
            if self._keeper is None or not self._keeper.is_alive():
                self._keeper = threading.Thread(target=self._keep, name="booru-ml-vector-store", daemon=True)
                self._keeper.start()

    def _keep(self) -> None:
        try:
            while self.step():
                pass
        except (BooruError, DatabaseError, InterfaceError) as error:
            log.warning("the vector store was not brought forward, the next question tries again: %s", error)
        finally:
            connections.close_all()

    def step(self) -> int | None:
        """One step of the first copy, or the latest delta; how many rows were written, None when nothing is left.

        Does nothing while another process is at it. Not to be called inside a transaction.
        """
        alias = router.db_for_write(Collection)
        Collection.objects.using(alias).get_or_create(**self._key())
        with transaction.atomic(using=alias, durable=True):
            row = self._locked(alias)
            first = self.rows.order_by("id").values_list("data", flat=True).first()
            if row is None or first is None:
                return None
            index = MilvusIndex(self._store, row.name, len(first) // 2)
            if not row.name or not index.exists():
                self._begin(row, index)
                return 0
            if not row.complete:
                return self._copy(row, index)
            self._follow(row, index)
        return None

    def rebuild(self, advance: Advance = nobody) -> None:
        """Fills a new collection from the database and forgets the old one; questions are refused meanwhile, unless
        few rows are missing. Raises ``Unavailable`` where the store does not answer."""
        alias = router.db_for_write(Collection)
        with transaction.atomic(using=alias, durable=True):
            rows = Collection.objects.using(alias).filter(**self._key())
            old = rows.select_for_update().values_list("name", flat=True).first()
            if old:
                MilvusIndex(self._store, old, 0).drop()
                rows.update(name="", complete=False)
        while self.rows.exists() and not rows.filter(complete=True).exists():
            written = self.step()
            if written is None:  # another process helps
                time.sleep(0.1)
            advance(written or 0)

    def _begin(self, row: Collection, index: MilvusIndex) -> None:
        """The mark is taken before the first row is copied, so what is committed out of order meanwhile comes later."""
        now = Mark.now(self.rows.db)
        version = hashlib.sha256(self.model_version.encode()).hexdigest()[:12]
        index.name = row.name = f"booru_{version}_{self.kind}_{secrets.token_hex(4)}"
        index.create()
        row.low, row.high, row.filled_to, row.complete, row.reconciled_at = now.low, now.high, 0, False, None
        row.save()

    def _copy(self, row: Collection, index: MilvusIndex) -> int:
        chunk = list(self.rows.filter(id__gt=row.filled_to).order_by("id").values_list("id", "stamp")[:CHUNK])
        self._write(index, dict(chunk))
        row.complete = len(chunk) < CHUNK
        if row.complete:
            index.flush()
        row.filled_to = chunk[-1][0] if chunk else row.filled_to
        row.save()
        return len(chunk)

    def _follow(self, row: Collection, index: MilvusIndex) -> None:
        now = Mark.now(self.rows.db)
        news = dict(self.rows.filter(self._mark(row).news(now)).values_list("id", "stamp"))
        there = index.stamps(news)
        self._write(index, {id_: stamp for id_, stamp in news.items() if there.get(id_) != stamp})
        row.low, row.high = now.low, now.high
        if self._due(row):
            self._reconcile(index)
            row.reconciled_at = timezone.now()
        row.save()

    def _write(self, index: MilvusIndex, stamps: dict[int, int]) -> None:
        """The mark may move on when this returns: whoever reads it then finds these rows in the collection."""
        ids = list(stamps)
        for start in range(0, len(ids), CHUNK):
            rows = list(self.rows.filter(pk__in=ids[start : start + CHUNK]).values_list("id", "data"))
            keys, vectors = readable(rows, dimension=index.dimension)
            if keys:
                index.add(np.array(keys), vectors, np.array([stamps[id_] for id_ in keys]))
                index.settle(keys[-1])

    def _reconcile(self, index: MilvusIndex) -> None:
        """Takes out what was deleted, and puts in what a store that was set back has lost."""
        if self.rows.count() == len(index):
            return
        pair = [("id", np.int64), ("stamp", np.int64)]
        here = np.fromiter(self.rows.values_list("id", "stamp").iterator(), dtype=pair)
        there = np.fromiter(index.pairs(), dtype=pair)
        index.remove(np.setdiff1d(there["id"], here["id"]))
        self._write(index, dict(np.setdiff1d(here, there).tolist()))

    @staticmethod
    def _due(row: Collection) -> bool:
        return row.reconciled_at is None or row.reconciled_at < timezone.now() - RECONCILE

    def _locked(self, alias: str) -> Collection | None:
        rows = Collection.objects.using(alias).filter(**self._key())
        if connections[alias].features.has_select_for_update_skip_locked:
            rows = rows.select_for_update(skip_locked=True)
        return rows.first()

    def _mark(self, row: Collection) -> Mark:
        return Mark(connections[self.rows.db].vendor, row.low, row.high)

    @property
    def _store(self) -> Store:
        return store(config().VECTOR_STORE)

    def _key(self) -> dict[str, Any]:
        return {"store": self._store.name, "model_version": self.model_version, "kind": self.kind}
