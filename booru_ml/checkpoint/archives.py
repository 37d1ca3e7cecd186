"""A checkpoint out of a zip or tar archive: only the files that a checkpoint may hold, and only by their names.

Nothing is extracted by the archive's own paths, and one with a path that leads out is refused; so are links and devices
in place of such files. Sizes are counted while they are read, so a small archive cannot become a large folder.
"""

from __future__ import annotations

import io
import lzma
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import IO

from booru_ml.checkpoint import files
from booru_ml.errors import CheckpointError

README = "README.md"
TAKEN = frozenset({*files.KNOWN, files.SUMS, README})
MOST_MEMBERS = 10_000
_BLOCK = 2**20
Left = tuple[str, ...]
"""Files that were not taken, as nothing would ever read them."""


def unpack(archive: Path, folder: Path, *, name: str = "") -> tuple[str, Left]:
    """Writes the checkpoint's files into ``folder``; returns the name of the archive's folder that held them, or "",
    and what else is in the archive.

    Raises ``CheckpointError``, which speaks of the archive by ``name``.
    """
    name = name or archive.name
    homes: set[PurePosixPath] = set()
    seen: set[str] = set()
    left = []
    try:
        for count, (path, regular, stream) in enumerate(_members(archive), start=1):
            if count > MOST_MEMBERS:
                raise CheckpointError(f"{name} has more than {MOST_MEMBERS:,} members; this is no checkpoint.")
            if path.is_absolute() or ".." in path.parts:
                raise CheckpointError(f"{name}: {str(path)[:80]!r} leads out of the archive.")
            if path.name not in TAKEN:
                left.append(str(path))
                continue
            if not regular:
                raise CheckpointError(f"{name}: {path} is a link or a device. Pack the file itself.")
            homes.add(path.parent)
            if path.name in seen or len(homes) > 1:
                raise CheckpointError(f"{name} holds several checkpoints. Pack one folder.")
            seen.add(path.name)
            write(stream, folder / path.name, what=f"{name}: {path.name}")
    except (tarfile.TarError, zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, RuntimeError) as error:
        raise CheckpointError(f"{name} is no sound zip or tar archive: {error}.") from error
    if not seen:
        raise CheckpointError(f"{name} holds no checkpoint: none of {', '.join(sorted(TAKEN))}.")
    return next(iter(homes)).name, tuple(left)


def write(stream: IO[bytes], target: Path, *, what: str) -> None:
    """Copies a stream, up to what such a file may have. Raises ``CheckpointError``."""
    limit = limit_of(target.name)
    with target.open("wb") as file:
        while block := stream.read(_BLOCK):
            if file.tell() + len(block) > limit:
                raise CheckpointError(f"{what} is larger than the {limit:,} bytes that such a file may have.")
            file.write(block)


def limit_of(name: str) -> int:
    return files.LIMITS.get(files.CARD if name == README else name, files.LARGEST)


def _members(archive: Path) -> Iterator[tuple[PurePosixPath, bool, IO[bytes]]]:
    if zipfile.is_zipfile(archive):
        with zipfile.ZipFile(archive) as bundle:
            for info in bundle.infolist():
                if not info.is_dir():
                    kind = info.external_attr >> 16 & 0o170000
                    with bundle.open(info) as stream:
                        yield PurePosixPath(info.filename), kind in (0, 0o100000), stream
        return
    with tarfile.open(archive) as tar:
        for member in tar:
            if not member.isdir():
                content = tar.extractfile(member) if member.isreg() else None
                yield PurePosixPath(member.name), content is not None, content or io.BytesIO()
