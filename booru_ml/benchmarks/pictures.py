"""Pictures to measure with: drawings in the sizes and formats that boards see, or a folder of one's own."""

from __future__ import annotations

import io
import random
import tempfile
from collections.abc import Sequence
from pathlib import Path

from django.core.management import call_command, get_commands
from django.core.management.base import CommandError

SIZES = ((1000, 1400), (2000, 3000))
MIX = {"jpg": 12, "png": 3, "webp": 1}
"""Pictures of each format in 16, about what boards receive."""
_SUFFIXES = {".jpg", ".jpeg", ".png", ".webp", ".gif", ".avif"}


def drawn(folder: Path, *, mix: dict[str, int] = MIX) -> list[Path]:
    """Drawings under ``folder``: ``mix`` of formats in each of ``SIZES``. Raises ``CommandError`` without an artist."""
    if "booru_draw" not in get_commands():
        raise CommandError("This board has no booru_draw to make pictures; name a folder of some: --pictures DIR")
    from PIL import Image

    formats = [name for name, count in mix.items() for _ in range(count)]
    made = []
    for size in SIZES:
        with tempfile.TemporaryDirectory() as scratch:
            count = {"characters": len(formats), "pictures": 1, "size": size, "format": "png", "out": Path(scratch)}
            call_command("booru_draw", **count, stdout=io.StringIO())
            drawings = sorted(Path(scratch).rglob("*.png"))
            random.Random(0).shuffle(drawings)  # noqa: S311 - no secret
            for number, (drawing, kind) in enumerate(zip(drawings, formats, strict=True)):
                path = folder / f"{size[0]}x{size[1]}-{number:02}.{kind}"
                with Image.open(drawing) as image:
                    image.convert("RGB").save(path, quality=92)
                made.append(path)
    return _shuffled(made)


def found(folder: Path) -> list[Path]:
    """The pictures of a folder. Raises ``CommandError`` where it holds none."""
    paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in _SUFFIXES)
    if not paths:
        raise CommandError(f"{folder} holds no pictures.")
    return _shuffled(paths)


def _shuffled(paths: Sequence[Path]) -> list[Path]:
    return random.Random(0).sample(list(paths), len(paths))  # noqa: S311 - no secret
