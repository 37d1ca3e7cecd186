"""Files and folders that stand there whole or not at all; full, locked or missing disks told by the file's name."""

from __future__ import annotations

import ctypes
import os
import shutil
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from glob import escape
from pathlib import Path

from booru_ml.errors import Unavailable

STALE_SECONDS = 600.0
"""Nobody writes on at a file that was not touched for so long."""


@contextmanager
def whole(path: Path) -> Iterator[Path]:
    """Where to write what takes the place of ``path`` when the block ends well; else what stood there stays.

    Nothing takes the place of a device or a pipe (``/dev/stdout``), which is written to as it is. Of several that write
    at once the last one counts. Raises ``Unavailable`` where nothing can be written.
    """
    if is_stream(path):
        with writing(path):
            yield path
        return
    # The ending stays, by which drawings know their format.
    partial = path.with_name(f".partial-{uuid.uuid4().hex}-{path.name}")
    with writing(path):
        _sweep(path)
        try:
            yield partial
            partial.replace(path)
        finally:
            with suppress(OSError):
                partial.unlink(missing_ok=True)  # room for others


@contextmanager
def beside(target: Path, *, copied: bool = False) -> Iterator[Path]:
    """A fresh folder beside ``target``, or a copy of it, that takes its place when the block ends well; else what stood
    there stays. Raises ``Unavailable`` where nothing can be written."""
    # The name inside is the target's, as a checkpoint without a section of ours is named by it.
    room = target.parent / f".{target.name}.partial"
    folder = room / target.name
    shutil.rmtree(room, ignore_errors=True)
    try:
        with writing(target):
            folder.mkdir(parents=True)
            if copied:
                shutil.copytree(target, folder, dirs_exist_ok=True)
            yield folder
            supersede(target, folder, aside=room / "old")
    finally:
        shutil.rmtree(room, ignore_errors=True)


def supersede(target: Path, folder: Path, *, aside: Path) -> None:
    """``folder`` becomes ``target``. What stood there is called ``folder`` or ``aside`` then."""
    if target.exists() and _exchange(folder, target):
        return
    if target.exists():
        target.rename(aside)
    folder.rename(target)


def _exchange(one: Path, other: Path) -> bool:
    """Both names change at once, so a kill never finds neither; False where the system (not Linux) cannot do that."""
    rename = getattr(ctypes.CDLL(None), "renameat2", None)
    here, flag = -100, 2  # AT_FDCWD, RENAME_EXCHANGE
    return rename is not None and rename(here, os.fsencode(one), here, os.fsencode(other), flag) == 0


def _sweep(path: Path) -> None:
    """What those left who were killed while they wrote to ``path``."""
    old = time.time() - STALE_SECONDS
    for partial in path.parent.glob(f".partial-*-{escape(path.name)}"):
        with suppress(OSError):  # another one sweeps, too
            if partial.stat().st_mtime < old:
                partial.unlink()


def is_stream(path: Path) -> bool:
    """Whether it stands there and is neither a file nor a folder."""
    return path.exists() and not path.is_file() and not path.is_dir()


@contextmanager
def writing(place: Path) -> Iterator[None]:
    """Tells of what cannot be written by ``place``: a full disk's own error names no file. Raises ``Unavailable``."""
    try:
        yield
    except OSError as error:
        raise Unavailable(
            f"{place} cannot be written: {_reason(error)}. Make room there, or name another place, and run the same "
            "command again."
        ) from error


def _reason(error: OSError) -> str:
    several = isinstance(error, shutil.Error) and error.args and error.args[0]
    return str(several[0][-1]) if isinstance(several, list) else error.strerror or str(error)
