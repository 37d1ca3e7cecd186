"""How a checkpoint's scores lie over a folder of pictures: the figures of its card."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image, ImageOps

from booru_ml.colour import Space, reduced, to_srgb
from booru_ml.errors import InvalidInput
from booru_ml.nn.calibrated import calibrated
from booru_ml.nn.routes import open_session
from booru_ml.nn.transforms import fit

if TYPE_CHECKING:
    from booru_ml.checkpoint import Checkpoint
    from booru_ml.types import PixelArray

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".gif", ".avif"})


@dataclass(frozen=True, slots=True)
class Line:
    """One label's scores: mean, 90th and 99th percentile, maximum; and the share of pictures that reach ``threshold``,
    the checkpoint's own for it, where there is one."""

    head: str
    label: str
    mean: float
    high: float
    higher: float
    highest: float
    threshold: float | None
    reached: float | None


def survey(checkpoint: Checkpoint, paths: Iterable[Path], **how: Any) -> Iterator[Line]:
    """A line for each label of each scored head; ``how``: as ``open_session`` has it."""
    session = open_session(checkpoint, **how)
    answers = []
    for path in paths:
        fitted = fit(read_picture(path), checkpoint.preprocess)
        answers.append(session.see([fitted]))
    for head in checkpoint.heads.values():
        if not head.scored:
            continue
        table = calibrated(checkpoint, head.name, np.concatenate([answer[head.name] for answer in answers]))
        for label, values in zip(head.labels, table.T, strict=True):
            high, higher, highest = (float(value) for value in np.quantile(values, [0.9, 0.99, 1.0]))
            least = checkpoint.thresholds.get(head.name, {}).get(label.name)
            reached = None if least is None else float((values >= least).mean())
            yield Line(head.name, label.name, float(values.mean()), high, higher, highest, least, reached)


def pictures(folders: Sequence[Path], *, most: int) -> list[Path]:
    """Up to ``most`` picture files of each folder, evenly over its sorted list. Raises ``InvalidInput``."""
    found: list[Path] = []
    for folder in folders:
        files = sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES and path.is_file())
        if not files:
            raise InvalidInput(f"{folder} holds no pictures ({', '.join(sorted(SUFFIXES))}).")
        found += files[:: -(-len(files) // most)]
    return found


def read_picture(path: Path) -> PixelArray:
    """A trusted picture of one's own, upright, H×W×3 uint8, in the very colours that an upload's would have.

    Raises ``OSError`` for whatever a damaged file does to its decoder: each has exceptions of its own.
    """
    try:
        with Image.open(path) as image:
            space = Space.of(image.info)
            upright = ImageOps.exif_transpose(image)
            plain, _ = to_srgb(reduced(upright, max(upright.size)), space)
    except (OSError, MemoryError):
        raise
    except Exception as error:
        raise OSError(f"{path.name} is damaged: {error}") from error
    return np.asarray(plain)
