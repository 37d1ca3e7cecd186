"""One collection of a Milvus server as an index, shared by every process that knows its name.

Beside each vector stands the stamp of its row, so that anybody can tell whether the collection has a row's latest
word. The processes that keep it true to the database are ``embeddings.shared``.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

import numpy as np

from booru_ml.errors import Unavailable
from booru_ml.types import FloatArray
from embeddings.types import IntArray

# What is forked from this process starts another program at once; gRPC's own care for forks makes it abort instead.
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")

TIMEOUT_SECONDS = 2.0
"""For anything that somebody waits for."""
QUIET = {"grpc.keepalive_permit_without_calls": 0}
"""An idle client that pings is hung up on by servers that count it as a flood."""
WRITE_SECONDS = 30.0
FLUSH_SECONDS = 600.0
QUIET_SECONDS = 5.0
"""After a failure nobody tries for so long, so that a store that is away costs the others next to nothing."""
LINKS, CANDIDATES, EFFORT = 32, 200, 200
"""HNSW's M, efConstruction and least ef of a search (Malkov and Yashunin 2016)."""
CHUNK = 1000
PAGE = 10_000
MISSING = 100
"""Milvus's code for a collection that does not exist."""


class Missing(Unavailable):
    """The collection is not there: it was never made, or it was lost."""

    code = "index_missing"


class MilvusIndex:
    """``name``: of the collection. What is added is seen by all later searches after ``settle``."""

    def __init__(self, store: Store, name: str, dimension: int) -> None:
        self.store = store
        self.name = name
        self.dimension = dimension

    def exists(self) -> bool:
        with self.store.client() as client:
            return bool(client.has_collection(self.name, timeout=TIMEOUT_SECONDS))

    def create(self) -> None:
        """Makes the collection, empty."""
        from pymilvus import DataType

        with self.store.client() as client:
            schema = client.create_schema(auto_id=False, enable_dynamic_field=False)
            schema.add_field("id", DataType.INT64, is_primary=True)
            schema.add_field("stamp", DataType.INT64)
            schema.add_field("vector", DataType.FLOAT_VECTOR, dim=self.dimension)
            index = client.prepare_index_params()
            build = {"M": LINKS, "efConstruction": CANDIDATES}
            index.add_index("vector", index_type="HNSW", metric_type="IP", params=build)
            client.create_collection(self.name, schema=schema, index_params=index, timeout=WRITE_SECONDS)

    def drop(self) -> None:
        with self.store.client() as client:
            client.drop_collection(self.name, timeout=WRITE_SECONDS)

    def __len__(self) -> int:
        with self.store.client() as client:
            (found,) = client.query(
                self.name, output_fields=["count(*)"], consistency_level="Strong", timeout=WRITE_SECONDS
            )
        return int(found["count(*)"])

    def ids(self) -> IntArray:
        return np.array([id_ for id_, _ in self.pairs()], dtype=np.int64)

    def pairs(self) -> Iterator[tuple[int, int]]:
        """(id, stamp) of all that is there."""
        with self.store.client() as client:
            pages = client.query_iterator(
                self.name,
                batch_size=PAGE,
                output_fields=["id", "stamp"],
                consistency_level="Strong",
                timeout=WRITE_SECONDS,
            )
            while page := pages.next():
                yield from ((int(row["id"]), int(row["stamp"])) for row in page)
            pages.close()

    def stamps(self, ids: Iterable[int]) -> dict[int, int]:
        """The stamps of those of ``ids`` that are there."""
        wanted = list(ids)
        found: dict[int, int] = {}
        with self.store.client() as client:
            for start in range(0, len(wanted), CHUNK):
                rows = client.get(
                    self.name,
                    ids=wanted[start : start + CHUNK],
                    output_fields=["id", "stamp"],
                    consistency_level="Strong",
                    timeout=TIMEOUT_SECONDS,
                )
                found |= {int(row["id"]): int(row["stamp"]) for row in rows}
        return found

    def add(self, ids: IntArray, vectors: FloatArray, stamps: IntArray | None = None) -> None:
        marks = np.zeros(len(ids), dtype=np.int64) if stamps is None else stamps
        rows = {
            id_: {"id": id_, "stamp": stamp, "vector": vector}
            for id_, stamp, vector in zip(ids.tolist(), marks.tolist(), vectors, strict=True)
        }
        latest = list(rows.values())
        with self.store.client() as client:
            for start in range(0, len(latest), CHUNK):
                client.upsert(self.name, latest[start : start + CHUNK], timeout=WRITE_SECONDS)

    def remove(self, ids: IntArray) -> int:
        present = list(self.stamps(ids.tolist()))
        with self.store.client() as client:
            for start in range(0, len(present), CHUNK):
                client.delete(self.name, ids=present[start : start + CHUNK], timeout=WRITE_SECONDS)
        return len(present)

    def settle(self, id_: int) -> None:
        """Returns when searches see what was written before: a strong read waits for it."""
        self.stamps([id_])

    def flush(self) -> None:
        """After much was written: the server lays it down and builds its graph, so that searches are quick again."""
        with self.store.client() as client:
            client.flush(self.name, timeout=FLUSH_SECONDS)

    def search(self, queries: FloatArray, limit: int) -> tuple[FloatArray, IntArray]:
        values = np.full((len(queries), limit), -np.inf, dtype=np.float32)
        ids = np.full((len(queries), limit), -1, dtype=np.int64)
        with self.store.client() as client:
            answers = client.search(
                self.name,
                data=list(np.ascontiguousarray(queries, dtype=np.float32)),
                limit=limit,
                search_params={"metric_type": "IP", "params": {"ef": max(EFFORT, 2 * limit)}},
                timeout=TIMEOUT_SECONDS,
            )
        for place, hits in enumerate(answers):
            found = [(float(hit["distance"]), int(hit["id"])) for hit in hits]
            if found:
                values[place, : len(found)], ids[place, : len(found)] = zip(*found, strict=True)
        return values, ids


class Store:
    """A Milvus server by its address, ``milvus+http://user:password@host:19530/database``.

    The client is this process's own and made on first use: its threads do not survive a fork.
    """

    def __init__(self, address: str) -> None:
        parts = urlsplit(address)
        self._where = f"{parts.scheme.removeprefix('milvus+')}://{parts.hostname}:{parts.port or 19530}"
        self._login = {"user": parts.username or "", "password": parts.password or "", "db_name": parts.path.strip("/")}
        self.name = f"{parts.hostname}:{parts.port or 19530}/{self._login['db_name']}"[:64]
        self._client: tuple[int, Any] | None = None
        self._quiet_until = 0.0
        self._lock = threading.Lock()

    @contextmanager
    def client(self) -> Iterator[Any]:
        """Everything that goes wrong inside is ``Unavailable``, or ``Missing`` where the collection is not there."""
        import grpc
        from pymilvus import MilvusException

        if time.monotonic() < self._quiet_until:
            raise Unavailable("The vector store did not answer a moment ago. Try again later.", code="vector_store")
        try:
            yield self._connected()
        except (MilvusException, grpc.RpcError, OSError) as error:
            if getattr(error, "code", None) == MISSING:
                raise Missing("The vector store does not have this index; it is built anew.") from error
            self._quiet_until = time.monotonic() + QUIET_SECONDS
            logging.getLogger(__name__).warning("Milvus at %s does not answer: %s", self.name, str(error)[:200])
            raise Unavailable("The vector store does not answer. Try again later.", code="vector_store") from error

    def _connected(self) -> Any:
        from pymilvus import MilvusClient

        with self._lock:
            if self._client is None or self._client[0] != os.getpid():
                # It logs whole tracebacks of what it raises as well.
                logging.getLogger("pymilvus").setLevel(logging.CRITICAL)
                self._client = (
                    os.getpid(),
                    MilvusClient(uri=self._where, timeout=TIMEOUT_SECONDS, grpc_options=QUIET, **self._login),
                )
            return self._client[1]
