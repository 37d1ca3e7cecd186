"""Models come in: fetched, compared with their sums, seen to run, kept on the shelf and noted in the database."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from django.db.models.functions import Now

from booru_ml.checkpoint.archives import Left
from booru_ml.checkpoint.shelf import Kept, Shelf, named
from booru_ml.conf import config
from booru_ml.models import ModelVersion
from booru_ml.registry import described

if TYPE_CHECKING:
    from collections.abc import Callable


def shelf() -> Shelf:
    return Shelf(config().MODELS_DIR)


def add(folder: Path) -> tuple[ModelVersion, Kept]:
    """Registers a checkpoint folder. Raises ``CheckpointError`` for what is damaged, strange or does not run."""
    return _keep(folder, (), f"folder {folder.resolve()}")


def pull_from_hub(repository: str, *, revision: str) -> tuple[ModelVersion, Kept]:
    """Registers a pinned revision of a Hugging Face repository (``booru-ml[hub]``)."""
    from booru_ml.checkpoint.pull import from_hub

    with shelf().room() as room, named(room, f"hf:{repository}"):
        return _keep(*from_hub(repository, revision, room), f"hf:{repository}@{revision}")


def pull_from_url(
    url: str, *, sha256: str, name: str = "", say: Callable[[str], None] = lambda text: None
) -> tuple[ModelVersion, Kept]:
    """Registers the checkpoint in an archive whose sum is known."""
    from booru_ml.checkpoint.pull import from_url

    place = shelf()
    with place.room() as room, named(room, url):
        return _keep(*from_url(url, sha256, place, room, name=name, say=say), f"{url} (sha256 {sha256})")


def _keep(folder: Path, left: Left, origin: str) -> tuple[ModelVersion, Kept]:
    from booru_ml.nn.verification import verify

    kept = shelf().put(folder, verify)
    item = kept.checkpoint
    row, _ = ModelVersion.objects.update_or_create(
        version=item.version,
        defaults=described(item) | {"origin": origin[:1000], "verified_at": Now()},
    )
    return row, replace(kept, left=(*left, *kept.left))
