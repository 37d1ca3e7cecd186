"""Which checkpoints this board is configured for: their common version, and the rows that name them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

from booru_ml.checkpoint import Checkpoint, join_versions
from booru_ml.checkpoint.files import SUMS
from booru_ml.conf import config
from booru_ml.errors import CheckpointError
from booru_ml.models import ModelVersion


def pipeline_version() -> str:
    """What the configured checkpoints amount to (≤ 64 characters); changes when any of their files does.

    Cheap: reads configuration and labels, never weights, and those only when a folder's sums have changed.
    Raises ``CheckpointError`` where a folder cannot be read.
    """
    folders = tuple(str(folder) for folder in config().CHECKPOINTS)
    return _pipeline_version(folders, tuple(_stamp(Path(folder)) for folder in folders))


def record(checkpoints: Sequence[Checkpoint]) -> None:
    """Notes the checkpoints that a worker has loaded."""
    ModelVersion.objects.bulk_create(
        [
            ModelVersion(name=item.name, version=item.version, sha256=item.sha256, heads=sorted(item.heads))
            for item in checkpoints
        ],
        ignore_conflicts=True,
    )


@lru_cache(maxsize=8)
def _pipeline_version(folders: tuple[str, ...], stamps: tuple[object, ...]) -> str:
    return join_versions(Checkpoint.read(folder).version for folder in folders)


def _stamp(folder: Path) -> tuple[int, int, int]:
    """Of the file that pins all others."""
    try:
        stat = (folder / SUMS).stat()
    except OSError as error:
        raise CheckpointError(f"The checkpoint folder {folder} cannot be read: {error}.") from error
    return stat.st_ino, stat.st_mtime_ns, stat.st_size
