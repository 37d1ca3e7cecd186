"""Which worker processes of this machine are alive: each one locks a file, and the kernel lets go of it when the
process ends, in whatever way.

Lease tokens begin with the number of the process that took them. So the rows of one whose file nobody locks any more
can be freed at once, instead of when their lease runs out. Workers in other containers or on other machines are not
seen here; theirs run out.
"""

from __future__ import annotations

import fcntl
import hashlib
import logging
import os
import secrets
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from django.db import connections

from booru_ml.pipeline.outbox import database

logger = logging.getLogger(__name__)

_BITS = 64
_SUFFIX = ".worker"

_number = secrets.randbits(_BITS)
# Held open while this process lives. POSIX locks, unlike flock's, are not shared with the processes that it forks.
_file: int | None = None


def token() -> uuid.UUID:
    """A new lease's token: this process's number, and as many bits by chance."""
    return uuid.UUID(int=_number << _BITS | secrets.randbits(_BITS))


def taken_by(token: uuid.UUID) -> int:
    """The number of the process that took a lease."""
    return token.int >> _BITS


def begin() -> None:
    """From now on others of this machine notice when this process ends. Without a place for files they do not."""
    global _file
    if _file is not None:
        os.utime(_file)  # what cleans temporary folders up leaves it there
        return
    try:
        folder = _folder()
        mine = folder / f"{_number:016x}{_SUFFIX}"
        new = mine.with_suffix(".new")  # unseen until it is locked
        opened = os.open(new, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            fcntl.lockf(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
            new.rename(mine)
        except OSError:
            os.close(opened)
            new.unlink(missing_ok=True)
            raise
        _file = opened
    except OSError as error:
        logger.debug("no lock for this worker, its leases would have to run out: %s", error)


def end() -> None:
    """This process leaves in good order: it has no rows that somebody else would have to free."""
    global _file
    if _file is not None:
        with suppress(OSError):
            folder = _folder()
            (folder / f"{_number:016x}{_SUFFIX}").unlink(missing_ok=True)
            folder.rmdir()  # where nobody else is left; who comes just now tries again before its next batch
        os.close(_file)
        _file = None


def dead() -> Iterator[int]:
    """The numbers of processes that died, each for one caller alone; it is forgotten once the next is asked for."""
    try:
        files = [file for file in os.scandir(_folder()) if file.name.endswith(_SUFFIX)]
    except OSError:
        return
    for file in files:
        number = _read(file.name)
        if number is None or number == _number:  # to open and close one's own would unlock it
            continue
        with suppress(OSError):
            opened = os.open(file.path, os.O_RDWR)
            try:
                fcntl.lockf(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
                yield number
                Path(file.path).unlink(missing_ok=True)
            finally:
                os.close(opened)


def _folder() -> Path:
    """This user's own, for this database. Raises ``OSError`` where it is somebody else's."""
    told = connections[database()].settings_dict
    board = hashlib.sha256(repr([told.get(name) for name in ("ENGINE", "HOST", "PORT", "NAME")]).encode()).hexdigest()
    folder = Path(tempfile.gettempdir(), f"booru-ml-{os.getuid()}-{board[:16]}")
    folder.mkdir(mode=0o700, exist_ok=True)
    if folder.is_symlink() or folder.stat().st_uid != os.getuid():
        raise PermissionError(f"{folder} is somebody else's")
    return folder


def _read(name: str) -> int | None:
    try:
        return int(name.removesuffix(_SUFFIX), 16)
    except ValueError:
        return None


def _renew() -> None:
    global _number, _file
    _number, _file = secrets.randbits(_BITS), None


os.register_at_fork(after_in_child=_renew)
