"""The thresholds in force: the checkpoints' files under the settings."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from booru_ml.conf import config
from booru_ml.registry import pipeline_version
from tagging.rules import Thresholds


def current() -> Thresholds:
    """Read again only when a checkpoint's files or the settings change. Raises ``CheckpointError``."""
    folders = tuple(str(folder) for folder in config().CHECKPOINTS)
    return _read(pipeline_version(), folders, tuple(sorted(config().TAG_THRESHOLDS.items())))


@lru_cache(maxsize=2)
def _read(version: str, folders: tuple[str, ...], settings: tuple[tuple[str, float], ...]) -> Thresholds:
    from booru_ml.checkpoint import Checkpoint

    checkpoints = [Checkpoint.read(Path(folder)) for folder in folders]
    return Thresholds(dict(settings), {item.version: item.thresholds for item in checkpoints})
