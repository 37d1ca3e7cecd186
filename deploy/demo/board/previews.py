"""Small versions of pictures for grids: made when first asked for, in a guarded process, and kept."""

from __future__ import annotations

import logging
import os
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, cast

from django.core.files.storage import default_storage

from booru_ml.errors import BooruError, PictureRefused
from deploy.demo.board.models import Post

if TYPE_CHECKING:
    from booru_ml.pipeline.images import DecoderPool

logger = logging.getLogger(__name__)

SIDE = 400
"""Long side of a preview, in pixels."""
SECONDS = 5
"""Computing time that a picture may take; slower ones go without a preview."""


def preview(post: Post) -> Path | None:
    """The preview's file; None where the picture cannot be read."""
    target = Path(default_storage.path(f"previews/{post.sha256[:2]}/{post.sha256}.webp"))
    if not target.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        draft = target.with_suffix(f".{os.getpid()}")
        try:
            draft.write_bytes(_make(post))
        except PictureRefused:
            # Remembered as an empty file: the picture will not get better.
            draft.touch()
        except (BooruError, OSError) as error:
            logger.warning("no preview of post %s: %s", post.pk, error)
            return None
        draft.replace(target)
    return target if target.stat().st_size else None


def _make(post: Post) -> bytes:
    import io

    from PIL import Image

    with post.picture.open("rb") as stream:
        frame = _decoders().submit(cast(BinaryIO, stream)).result().frames[0]
    buffer = io.BytesIO()
    small = Image.fromarray(frame)
    small.thumbnail((SIDE, SIDE))
    small.save(buffer, "WEBP", quality=82, method=3)
    return buffer.getvalue()


@cache
def _decoders() -> DecoderPool:
    """One guarded decoder for this process, started by the first preview."""
    from booru_ml.pipeline.images import DecoderPool, Limits

    return DecoderPool(
        workers=1,
        limits=Limits(canvas_side=2 * SIDE, memory=512 * 2**20, cpu_seconds=SECONDS, timeout_seconds=2.0 * SECONDS),
    )
