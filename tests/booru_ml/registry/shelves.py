"""What tests of the shelf put on it, and see there."""

from __future__ import annotations

import os
from typing import Any

from booru_ml.checkpoint import Checkpoint
from booru_ml.checkpoint.shelf import Shelf


def sound(checkpoint: Checkpoint) -> None:
    """Stands for running the network, which ``test_whole_way`` does."""


class Bomb:
    def __reduce__(self) -> Any:
        return os._exit, (1,)


def contents(shelf: Shelf) -> list[str]:
    return sorted(str(path.relative_to(shelf.folder)) for path in shelf.folder.rglob("*") if path.is_file())
