"""Which checkpoints speak on this board: those of the settings, and above them what was promoted."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from django.db import DatabaseError, InterfaceError, router, transaction

from booru_ml.checkpoint import Checkpoint, join_versions
from booru_ml.checkpoint.files import SUMS
from booru_ml.conf import config
from booru_ml.errors import CheckpointError
from booru_ml.models import ModelVersion, Promotion

logger = logging.getLogger(__name__)

LOOK_SECONDS = 1.0
"""How long a process trusts what it has read: an upload must not pay a query for what changes twice a year."""


@dataclass(frozen=True, slots=True)
class Member:
    """A promoted checkpoint and the tasks that it took over."""

    version: str
    folder: str
    tasks: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Selection:
    """What speaks: each promoted member for its tasks, the checkpoints of the settings for the rest."""

    members: tuple[Member, ...] = ()

    @classmethod
    def of(cls, row: Promotion | None) -> Selection:
        listed = row.members if row else ()
        return cls(tuple(Member(m["version"], m["folder"], tuple(m["tasks"])) for m in listed))

    @property
    def checkpoints(self) -> tuple[Checkpoint, ...]:
        """In the engine's order. Cheap: configuration and labels only, and those only when a folder's sums changed,
        as far as known since the last ``look``.

        Raises ``CheckpointError`` where a folder cannot be read, or is no longer the one that was promoted.
        """
        folders = tuple(str(folder) for folder in config().CHECKPOINTS)
        read = (*(member.folder for member in self.members), *folders)
        return _resolve(self.members, folders, _stamps(read))

    @property
    def version(self) -> str:
        """Changes with every file and every task that changes hands (≤ 64 characters)."""
        return join_versions(checkpoint.part for checkpoint in self.checkpoints)

    def load(self) -> list[Checkpoint]:
        """As ``checkpoints``, with every file compared with its sum."""
        for checkpoint in self.checkpoints:
            Checkpoint.load(checkpoint.path)
        return list(self.checkpoints)


def pipeline_version() -> str:
    """What the checkpoints that ought to speak amount to. Raises ``CheckpointError`` where one cannot be read."""
    return wanted().version


def wanted() -> Selection:
    """What ought to speak, as known within ``LOOK_SECONDS``; while the database is away, what was known last."""
    global _known
    if time.monotonic() - _known[0] > LOOK_SECONDS:
        try:
            _known = time.monotonic(), look()
        except (DatabaseError, InterfaceError) as error:
            logger.warning("promotions cannot be read: %s", error)
            _known = time.monotonic(), _known[1]
    return _known[1]


def look() -> Selection:
    """What ought to speak, out of the database; its folders are looked at anew, too."""
    _stamps.cache_clear()
    using = router.db_for_read(Promotion)
    connection = transaction.get_connection(using)
    # Where the table is missing yet, an upload's transaction must not break by our asking.
    if connection.in_atomic_block and not connection.needs_rollback:
        with transaction.atomic(using=using):
            return Selection.of(Promotion.objects.using(using).in_force())
    return Selection.of(Promotion.objects.using(using).in_force())


def forget() -> None:
    """The next question is answered by the database."""
    global _known
    _known = float("-inf"), _known[1]


def in_force() -> Selection:
    """What speaks in this process: in a worker what it runs, which may lag behind; elsewhere ``wanted``."""
    return wanted() if _running is None else _running


def use(selection: Selection | None) -> None:
    """This process runs these networks now (None: it runs none), so thresholds and spaces are theirs."""
    global _running
    _running = selection


def formers() -> Iterator[Selection]:
    """What spoke before, the latest first, ending with the settings alone."""
    row: Any = Promotion.objects.in_force()
    while row is not None:
        row = row.follows
        yield Selection.of(row)


def record(checkpoints: Sequence[Checkpoint]) -> None:
    """Notes the checkpoints that a worker has loaded."""
    ModelVersion.objects.bulk_create([ModelVersion(**described(item)) for item in checkpoints], ignore_conflicts=True)


def described(checkpoint: Checkpoint) -> dict[str, Any]:
    """What a row of ``ModelVersion`` says of the checkpoint itself."""
    return {
        "name": checkpoint.name,
        "version": checkpoint.version,
        "sha256": checkpoint.sha256,
        "heads": sorted(checkpoint.heads),
        "folder": str(checkpoint.path),
    }


_known: tuple[float, Selection] = (float("-inf"), Selection())
_running: Selection | None = None


@lru_cache(maxsize=8)
def _resolve(
    members: tuple[Member, ...], folders: tuple[str, ...], stamps: tuple[object, ...]
) -> tuple[Checkpoint, ...]:
    found = []
    for member in members:
        checkpoint = Checkpoint.read(member.folder)
        if checkpoint.version != member.version:
            raise CheckpointError(
                f"{member.folder} holds {checkpoint.version}, but {member.version} was promoted. Fetch it again, or "
                "take it back: manage.py booru_model rollback"
            )
        found.append(checkpoint.speaking(member.tasks))
    taken = {task for member in members for task in member.tasks}
    for folder in folders:
        checkpoint = Checkpoint.read(folder)
        if not checkpoint.tasks & taken:
            found.append(checkpoint)
        elif left := checkpoint.tasks - taken:
            found.append(checkpoint.speaking(left))
    return tuple(found)


@lru_cache(maxsize=8)
def _stamps(folders: tuple[str, ...]) -> tuple[object, ...]:
    return tuple(_stamp(Path(folder)) for folder in folders)


def _stamp(folder: Path) -> tuple[int, int, int]:
    """Of the file that pins all others."""
    try:
        stat = (folder / SUMS).stat()
    except OSError as error:
        raise CheckpointError(
            f"The checkpoint folder {folder} cannot be read: {error.strerror}. Put it back; a promotion of it can "
            "also be taken back: manage.py booru_model rollback"
        ) from error
    return stat.st_ino, stat.st_mtime_ns, stat.st_size
