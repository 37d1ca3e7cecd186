"""The managed folder of checkpoints: one subfolder per version, whole and checked, or not there at all."""

from __future__ import annotations

import os
import shutil
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from booru_ml.checkpoint import Checkpoint, files
from booru_ml.checkpoint.archives import Left
from booru_ml.checkpoint.files import Folder
from booru_ml.disk import supersede
from booru_ml.errors import CheckpointError

STALE_SECONDS = 86_400.0
"""After how long the remains of a process that was killed are swept away."""


@dataclass(frozen=True)
class Kept:
    checkpoint: Checkpoint
    left: Left = ()


class Shelf:
    """``<folder>/<hash>/<name>``; the last part is the checkpoint's own name, since a folder of a stranger's shape is
    named by it."""

    def __init__(self, folder: str | Path = "") -> None:
        self.folder = Path(folder) if folder else _user_data() / "booru-ml" / "models"

    def put(self, source: Path, check: Callable[[Checkpoint], object]) -> Kept:
        """Copies a checkpoint here after ``check`` let the copy pass; one that is here already stays as it is, but for
        a damaged one, whose place it takes.

        Only files that a checkpoint may hold are copied, each compared with its sum on both sides. Raises
        ``CheckpointError``.
        """
        given = Checkpoint.load(source)
        name, _, digest = given.version.partition("@")
        wanted = [file for file in files.KNOWN if file in given.sums and (file != files.ONNX or given.has_onnx)]
        there = (path.name for path in given.path.iterdir())
        left = tuple(file for file in there if file not in (*wanted, files.SUMS))
        target = self.folder / digest / name
        with self.room() as room:
            draft = room / name
            draft.mkdir()
            for file in wanted:
                shutil.copyfile(given.path / file, draft / file)
            sums = "".join(f"{given.sums[file]}  {file}\n" for file in sorted(wanted))
            (draft / files.SUMS).write_text(sums, encoding="utf-8")
            for path in (*draft.iterdir(), draft):
                _sync(path)
            with named(draft, str(given.path)):
                copy = Checkpoint.load(draft)
                damaged = target.exists() and not _is_sound(target)
                if target.exists() and not damaged:
                    return Kept(_same(target, copy), left)
                check(copy)
            target.parent.mkdir(exist_ok=True)
            if damaged:
                supersede(target, draft, aside=room / "damaged")
            else:
                try:
                    draft.rename(target)
                except OSError:
                    if not target.exists():
                        raise
                    return Kept(_same(target, copy), left)  # Somebody else put it here meanwhile.
            for path in (target.parent, self.folder):
                _sync(path)
        return Kept(Checkpoint.read(target), left)

    @contextmanager
    def room(self) -> Iterator[Path]:
        """An empty folder on the same disk that goes with the block, and with a killed process after a day."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._sweep()
            room = self.folder / f".partial-{uuid.uuid4().hex}"
            room.mkdir()
            try:
                yield room
            finally:
                shutil.rmtree(room, ignore_errors=True)
        except OSError as error:
            raise CheckpointError(
                f"The checkpoint cannot be kept in {self.folder}: {error}. Make room or name a folder that can be "
                "written in BOORU_ML['MODELS_DIR']."
            ) from error

    def _sweep(self) -> None:
        old = time.time() - STALE_SECONDS
        for path in self.folder.glob(".partial-*"):
            if path.stat().st_mtime < old:
                shutil.rmtree(path, ignore_errors=True)
        for path in self.folder.glob(".download-*"):
            if path.stat().st_mtime < old:
                path.unlink(missing_ok=True)


def _same(target: Path, copy: Checkpoint) -> Checkpoint:
    there = Checkpoint.read(target)
    if there.sums != copy.sums:
        raise CheckpointError(
            f"{copy.version} is in {target} already, with another card or graph. Remove that folder first if these are "
            "the better ones."
        )
    return there


def _is_sound(folder: Path) -> bool:
    try:
        Folder(folder).verify()
    except CheckpointError:
        return False
    return True


@contextmanager
def named(place: Path, name: str) -> Iterator[None]:
    """What is wrong is told of ``name``, as ``place`` is gone by the time that somebody reads it."""
    try:
        yield
    except CheckpointError as error:
        raise CheckpointError(error.message.replace(str(place.resolve()), name)) from error


def _sync(path: Path) -> None:
    """A file or a folder: it is there after a power cut, too."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _user_data() -> Path:
    return Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share")
