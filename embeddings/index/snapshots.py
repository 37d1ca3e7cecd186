"""An index on disk, so that a process that starts need not read every vector and build a graph.

One file: the SHA-256 of all that follows, a header, the ids, the graph. It is written beside the old one, flushed to
the disk and renamed over it, so a reader has the old one or the new one. Nothing is read before the sum is right, and
who finds a file that is damaged or of something else builds from the database as if there were none.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import logging
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np

from embeddings.index.base import load_faiss
from embeddings.index.graph import GraphIndex

log = logging.getLogger(__name__)

FORMAT = 1
HEADER = 4096
_SUM = hashlib.sha256().digest_size
_CHUNK = 1 << 22


@dataclass(frozen=True)
class Snapshot:
    """``about`` says what the index is of and how far it had read; it comes back as it was given."""

    index: GraphIndex
    about: dict[str, Any]


def save(path: Path, snapshot: Snapshot) -> int:
    """Writes what is in the graph and returns the bytes. Raises ``OSError``; what was there before stays then.

    No other thread may fold meanwhile; searching, adding and removing is fine.
    """
    graph, slots = snapshot.index.parts()
    about = {
        "format": FORMAT,
        "about": snapshot.about,
        "effort": snapshot.index.effort,
        "recall": snapshot.index.recall,
        "tuned_at": snapshot.index.tuned_at,
        "size": len(slots),
    }
    faiss = load_faiss()
    with _replacing(path) as file:
        digest = hashlib.sha256()

        def write(data: bytes) -> int:
            digest.update(data)
            return file.write(data)

        file.write(bytes(_SUM))
        write(json.dumps(about).encode().ljust(HEADER))
        write(slots.astype("<i8").tobytes())
        faiss.write_index(graph, faiss.PyCallbackIOWriter(write))
        size = file.tell()
        file.seek(0)
        file.write(digest.digest())
    return size


def load(path: Path, wanted: Callable[[dict[str, Any]], bool]) -> Snapshot | None:
    """The snapshot, or None where there is none that is whole and ``wanted``; the log says why.

    ``wanted`` may raise what misses something in what ``about`` says: another release may have written it.
    """
    try:
        with path.open("rb") as file:
            if file.read(_SUM) != _rest(file):
                log.warning("The index in %s is damaged; it is built from the database again.", path)
                return None
            file.seek(_SUM)
            head = json.loads(file.read(HEADER))
            if head["format"] != FORMAT or not wanted(head["about"]):
                log.warning("The index in %s is of something else; it is built from the database again.", path)
                return None
            effort, recall, tuned_at = int(head["effort"]), float(head["recall"]), int(head["tuned_at"])
            slots = np.frombuffer(file.read(8 * head["size"]), dtype="<i8").astype(np.int64)
            faiss = load_faiss()
            graph = faiss.read_index(faiss.PyCallbackIOReader(file.read, _CHUNK))
            if graph.ntotal != len(slots):
                raise ValueError(f"{graph.ntotal} vectors have {len(slots)} ids")
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError, RuntimeError) as error:
        log.warning("The index in %s cannot be read; it is built from the database again: %s", path, error)
        return None
    return Snapshot(GraphIndex.of(graph, slots, effort=effort, recall=recall, tuned_at=tuned_at), head["about"])


def size_of(path: Path) -> int:
    """Vectors in the graph of the file as its header says, unchecked; 0 where there is none."""
    try:
        with path.open("rb") as file:
            file.seek(_SUM)
            return int(json.loads(file.read(HEADER))["size"])
    except (OSError, ValueError, KeyError, TypeError):
        return 0


@contextmanager
def writer(path: Path) -> Iterator[bool]:
    """Whether this process is the one that may build and write; the system ends the claim with the process."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.with_suffix(".lock").open("a")
    except OSError as error:
        log.warning("Processes cannot agree on who writes the index: %s", error)
        yield True
        return
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            for left in path.parent.glob(f".{path.name}.*"):  # by who was killed while it wrote
                with suppress(OSError):
                    left.unlink()
            yield True


def _rest(file: IO[bytes]) -> bytes:
    digest = hashlib.sha256()
    while data := file.read(_CHUNK):
        digest.update(data)
    return digest.digest()


@contextmanager
def _replacing(path: Path) -> Iterator[IO[bytes]]:
    """A file that takes the place of ``path`` when it is whole and on the disk."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(path)
    except BaseException:
        with suppress(OSError):
            Path(name).unlink()
        raise
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
