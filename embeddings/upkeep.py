"""Work on a large index that no question waits for: taking in what is new, tuning, clearing up, keeping it on disk.

Only an index that is a graph needs it; a small board's process starts no thread and touches no file. Where much is to
be done, one process does it and the others on the machine read its snapshot.
"""

from __future__ import annotations

import hashlib
import logging
import threading
import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import numpy as np
from django.db import connections
from django.db.models import QuerySet

from booru_ml.conf import config
from booru_ml.nn.routes.machine import user_cache
from booru_ml.progress import Advance, nobody
from embeddings.index import snapshots, tuning
from embeddings.index.graph import GraphIndex
from embeddings.index.snapshots import Snapshot
from embeddings.marks import Mark
from embeddings.models import Vector

if TYPE_CHECKING:
    from embeddings.similar import Space

log = logging.getLogger(__name__)

FOLD_FROM = 256
"""Vectors beside the graph from which it takes them in; comparing with fewer takes microseconds."""
STEP = 4
"""Vectors taken in at a time, while questions wait: a few milliseconds."""
MANY = 5_000
"""Vectors beside the graph from which one process works for all."""
GROWN = 1.25
"""Growth after which the effort is measured anew."""
SAVED = 1.1
"""Growth after which the snapshot is written anew."""
CHECKED = 512
"""Rows of a snapshot that are compared with the database, the newest and as many others."""


@dataclass(frozen=True, slots=True)
class Pace:
    """How the graph takes vectors in: so many at a time, by so many threads."""

    step: int = STEP
    threads: int = 1
    advance: Advance = nobody


def path_of(space: Space) -> Path:
    """The space's snapshot; boards on other databases have files of their own."""
    facts = connections[space.rows.db].settings_dict
    board = hashlib.sha256("\0".join(str(facts.get(key)) for key in ("ENGINE", "HOST", "PORT", "NAME")).encode())
    name = f"{quote(space.model_version, safe='@')}-{space.kind}-{board.hexdigest()[:8]}.index"
    return (Path(config().CACHE_DIR) if config().CACHE_DIR else user_cache()) / "indexes" / name


def stored(space: Space) -> Snapshot | None:
    """The space's snapshot if it is whole. One that is not is removed, so that a good one takes its place."""
    key = (space.model_version, space.kind)

    def ours(about: dict[str, Any]) -> bool:
        _mark(about)
        return (about["model_version"], about["kind"]) == key

    found = snapshots.load(path_of(space), ours)
    if found is None:
        discard(space)
    return found


def discard(space: Space) -> None:
    with suppress(OSError):  # it may be another user's
        path_of(space).unlink()


def mark_of(snapshot: Snapshot) -> Mark:
    return _mark(snapshot.about)


def _mark(about: dict[str, Any]) -> Mark:
    """Raises ``KeyError`` or ``TypeError`` where another release wrote it."""
    return Mark(**about["mark"])


def agrees(index: GraphIndex, rows: QuerySet[Vector]) -> bool:
    """Whether there are any of the database's vectors, and no others.

    A database that was restored gives ids out again, so the newest are looked at; and some of the others.
    """
    every = np.sort(index.ids())
    some = np.random.default_rng().choice(every, min(CHECKED, len(every)), replace=False)
    asked = np.union1d(every[-CHECKED:], some)
    found = dict(rows.filter(pk__in=asked.tolist()).values_list("id", "data"))
    ids, vectors = index.inside(np.array(list(found), dtype=np.int64))
    there = [bytes(found[id_]) for id_ in ids.tolist()]
    return bool(there) and there == [bytes(vector) for vector in vectors.astype("<f2")]


def wake(space: Space) -> None:
    """Sees to it that the index is looked after, if it needs to be. The space is locked."""
    if not _due(space.index) or (space.keeper and space.keeper.is_alive()):
        return
    space.keeper = threading.Thread(target=_keep, args=(space,), name=f"index of {space.kind}")
    space.keeper.start()


def work(space: Space, index: GraphIndex, how: Pace | None = None) -> None:
    """Takes everything into the graph, and measures the effort where that has grown.

    What it is measured with has not been seen by the graph: the last that it takes in.
    """
    how = how or Pace()
    _fold(space, index, tuning.PROBES, how)
    probes = index.beside()
    if index.size >= GROWN * index.tuned_at and len(probes):
        tuned = tuning.tune(index, probes[: tuning.PROBES])
        index.effort, index.recall, index.tuned_at = tuned.effort, tuned.recall, index.size
        if tuned.recall < tuning.LEAST:
            log.error("The index finds %.3f of the nearest %ss only.", tuned.recall, space.kind)
    _fold(space, index, 0, how)
    index.use_large_pages()


def write(space: Space, index: GraphIndex) -> None:
    """Writes the snapshot where that is old. Only for the process that may (``snapshots.writer``)."""
    if index.size >= SAVED * index.saved_at and not _leaving():
        if not 1 / SAVED < snapshots.size_of(path_of(space)) / index.size < SAVED:  # else another process has just
            save(space, index)
        index.saved_at = index.size


def save(space: Space, index: GraphIndex) -> int | None:
    """Writes the snapshot and returns its bytes; None where the disk would not have it or the space has moved on."""
    with space.lock:
        mark = space.mark if space.index is index else None
    if mark is None:
        return None
    about = {"model_version": space.model_version, "kind": space.kind, "mark": asdict(mark)}
    try:
        return snapshots.save(path_of(space), Snapshot(index, about))
    except OSError as error:
        log.warning("The index is not kept on disk: %s. A restart will build it again.", error)
        return None


def _due(index: object) -> bool:
    return isinstance(index, GraphIndex) and (index.waiting >= FOLD_FROM or index.removed * 3 > index.size)


def _leaving() -> bool:
    """Whether the process is about to end: it waits for this thread."""
    return not threading.main_thread().is_alive()


def _keep(space: Space) -> None:
    try:
        while isinstance(index := space.index, GraphIndex) and _due(index) and not space.offered and not _leaving():
            if index.removed * 3 > index.size:
                _clear(space, index)
            elif index.waiting < MANY:
                work(space, index)
                with snapshots.writer(path_of(space)) as ours:
                    if ours:
                        write(space, index)
            else:
                _together(space, index)
    except Exception:
        log.exception("The index is not looked after; it answers all the same.")
        _pause(60.0)


def _together(space: Space, index: GraphIndex) -> None:
    """Does what there is to do for every process, or waits for the one that is at it and takes what it has done."""
    with snapshots.writer(path_of(space)) as ours:
        better = snapshots.size_of(path_of(space)) > index.size + index.waiting // 2
        if better and (found := stored(space)):
            space.offered = found
        elif ours:
            work(space, index)
            write(space, index)
    if not ours:
        _pause(1.0)


def _pause(seconds: float) -> None:
    until = time.monotonic() + seconds
    while time.monotonic() < until and not _leaving():
        time.sleep(0.1)


def _fold(space: Space, index: GraphIndex, leave: int, how: Pace) -> None:
    while index.waiting > leave and space.index is index and not _leaving():
        with space.lock:
            before = index.waiting
            index.fold(min(how.step, before - leave), threads=how.threads)
            how.advance(before - index.waiting)
        time.sleep(0.0005)  # whoever waits for the lock has it now


def _clear(space: Space, index: GraphIndex) -> None:
    """Begins again without what was removed; questions are answered exactly until the new graph stands."""
    with space.lock:
        fresh = GraphIndex(index.dimension)
        fresh.add(index.ids(), index.vectors())
        space.index = fresh
