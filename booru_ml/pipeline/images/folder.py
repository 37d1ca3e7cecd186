"""Checks every file under a folder as an upload would be: for a board that wants to know before it takes a collection.

Hostile folders are expected as well as hostile files: links are not followed, pipes and devices not opened, and memory
stays bounded by the names in the folders on the way to one file.
"""

from __future__ import annotations

import os
import stat
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, TypeAlias

from booru_ml.errors import PictureRefused
from booru_ml.pipeline.images.pool import DecoderPool
from booru_ml.types import Picture

Begun: TypeAlias = tuple[str, BinaryIO, Future[Picture]]

SPECIAL = "This is a link, pipe, device or socket, not a file; it was not opened."


@dataclass(frozen=True, slots=True)
class Checked:
    """What would become of one file. ``outcome``: accept, accept-converted (see ``conversions``) or reject."""

    path: str
    outcome: str
    code: str | None = None
    message: str = ""
    width: int | None = None
    height: int | None = None
    frames: int | None = None
    conversions: tuple[str, ...] = ()


def check(root: Path, pool: DecoderPool) -> Iterator[Checked]:
    """One ``Checked`` per file under ``root`` (or for ``root`` itself), sorted by path, paths relative to ``root``."""
    root = root.resolve()
    pending: deque[Begun | Checked] = deque()
    for path, fault in walk(root):
        shown = path.name if path == root else str(path.relative_to(root))
        pending.append(_unreadable(shown, fault) if fault else _begin(path, shown, pool))
        if len(pending) > 2 * pool.workers:
            yield _end(pending.popleft())
    while pending:
        yield _end(pending.popleft())


def walk(root: Path) -> Iterator[tuple[Path, OSError | None]]:
    """Everything under ``root`` but folders, which are entered in the order of their names, or given with the fault
    that keeps them shut."""
    pending = [root.resolve()]
    while pending:
        path = pending.pop()
        try:
            if stat.S_ISDIR(path.lstat().st_mode):
                pending += sorted(path.iterdir(), reverse=True)
            else:
                yield path, None
        except OSError as error:
            yield path, error


def _begin(path: Path, shown: str, pool: DecoderPool) -> Begun | Checked:
    try:
        if not stat.S_ISREG(path.lstat().st_mode):
            return Checked(shown, "reject", "not-a-file", SPECIAL)
        # The file may have been swapped since: neither follow a link nor wait for a pipe's writer.
        stream = os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC), "rb")
    except OSError as error:
        return _unreadable(shown, error)
    if not stat.S_ISREG(os.fstat(stream.fileno()).st_mode):
        stream.close()
        return Checked(shown, "reject", "not-a-file", SPECIAL)
    return shown, stream, pool.submit(stream)


def _end(begun: Begun | Checked) -> Checked:
    if isinstance(begun, Checked):
        return begun
    shown, stream, future = begun
    with stream:
        try:
            picture = future.result()
        except PictureRefused as error:
            width, height = error.extra["width"], error.extra["height"]
            return Checked(shown, "reject", error.code, error.message, width or None, height or None)
        except OSError as error:
            return _unreadable(shown, error)
    return Checked(
        shown,
        "accept-converted" if picture.conversions else "accept",
        message="Accepted after conversion: " + ", ".join(picture.conversions) + "."
        if picture.conversions
        else "Accepted.",
        width=picture.width,
        height=picture.height,
        frames=picture.frame_count,
        conversions=picture.conversions,
    )


def _unreadable(shown: str, error: OSError) -> Checked:
    return Checked(shown, "reject", "unreadable", f"The file cannot be read: {error.strerror or error}.")
