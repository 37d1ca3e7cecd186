"""The thresholds in force: the checkpoints' files under the settings."""

from __future__ import annotations

from functools import lru_cache

from booru_ml import registry
from booru_ml.checkpoint import Checkpoint
from booru_ml.conf import config
from tagging.rules import Thresholds


def current() -> Thresholds:
    """Worked out again only when a checkpoint's files or the settings change. Raises ``CheckpointError``."""
    return of(registry.in_force().checkpoints)


def of(checkpoints: tuple[Checkpoint, ...]) -> Thresholds:
    """Those of given checkpoints under the settings."""
    return _put_together(checkpoints, tuple(sorted(config().TAG_THRESHOLDS.items())))


@lru_cache(maxsize=4)
def _put_together(checkpoints: tuple[Checkpoint, ...], settings: tuple[tuple[str, float], ...]) -> Thresholds:
    return Thresholds(dict(settings), {item.version: item.thresholds for item in checkpoints})
