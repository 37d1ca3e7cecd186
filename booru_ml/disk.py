"""Files that stand there whole or not at all, and full, locked or missing disks told by the file's name."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from booru_ml.errors import Unavailable


@contextmanager
def whole(path: Path) -> Iterator[Path]:
    """Where to write what takes the place of ``path`` when the block ends well; else what stood there stays.

    Nothing takes the place of a device or a pipe (``/dev/stdout``), which is written to as it is. Raises
    ``Unavailable`` where nothing can be written.
    """
    if is_stream(path):
        with writing(path):
            yield path
        return
    partial = path.with_name(f".partial-{path.name}")  # the ending stays, by which drawings know their format
    with writing(path):
        try:
            yield partial
            partial.replace(path)
        finally:
            with suppress(OSError):
                partial.unlink(missing_ok=True)  # room for others


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
