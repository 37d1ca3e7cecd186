"""The labelled pictures of a folder that can be read, those that cannot, and what is asked of a network about them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from booru_ml.errors import InvalidInput
from booru_ml.nn.calibrated import calibrated
from booru_ml.nn.survey import read_picture
from booru_ml.nn.transforms import fit
from booru_ml.progress import track
from booru_ml.training.audit import Look, look
from booru_ml.training.manifest import Sample
from booru_ml.types import FloatArray, PixelArray

if TYPE_CHECKING:
    from booru_ml.checkpoint import Checkpoint

SMALL = 16
BATCH = 16

Change = Callable[[PixelArray], PixelArray]


@dataclass(frozen=True, slots=True, eq=False)
class Material:
    """``pixels``: each picture at 16×16, N × 768 less mid-grey, whose nearest neighbour is the floor of any figure.
    ``looks``: by which near-copies are found."""

    samples: tuple[Sample, ...]
    pixels: FloatArray
    looks: tuple[Look, ...]
    unreadable: tuple[str, ...]

    @property
    def labels(self) -> tuple[str, ...]:
        return tuple(sample.label for sample in self.samples)

    @property
    def groups(self) -> np.ndarray[Any, np.dtype[np.str_]]:
        return np.array([sample.group for sample in self.samples], np.str_)

    def of(self, split: str) -> np.ndarray[Any, np.dtype[np.int64]]:
        """Rows of one split."""
        return np.flatnonzero([sample.split == split for sample in self.samples])


def gather(
    samples: Sequence[Sample], say: Callable[[str], Any], most: Callable[[Sample], int | None] = lambda _: None
) -> Material:
    """What can be read of ``samples``; the rest is counted and said. Raises ``InvalidInput`` where nothing can.

    ``most``: of how many readable ones of its split and class a sample may be; the others are not looked at.
    """
    kept, small, looks, unreadable = [], [], [], []
    seen: Counter[tuple[str, str]] = Counter()
    for sample in track(samples, "Reading pictures"):
        limit, of = most(sample), (sample.split, sample.label)
        if limit is not None and seen[of] >= limit:
            continue
        try:
            frame = read_picture(sample.path)
        except OSError as error:
            unreadable.append(f"{sample.path.name}: {error}")
            continue
        seen[of] += 1
        kept.append(sample)
        small.append(shrunk(frame))
        looks.append(look(frame))
    looked = len(kept) + len(unreadable)
    if not kept:
        raise InvalidInput(f"None of the {looked} pictures can be read; the first: {'; '.join(unreadable[:1])}")
    if unreadable:
        say(f"{len(unreadable)} of {looked} pictures cannot be read and are left out: {unreadable[0]}, …")
    return Material(tuple(kept), np.stack(small), tuple(looks), tuple(unreadable))


def shrunk(frame: PixelArray) -> FloatArray:
    """The picture at 16×16, (768,), less mid-grey."""
    little = Image.fromarray(frame).resize((SMALL, SMALL), Image.Resampling.BOX)
    return np.asarray(little, np.float32).ravel() - np.float32(127.5)


def keep_pixels(frames: Iterable[PixelArray], small: list[FloatArray]) -> Iterator[PixelArray]:
    """The frames; how they look at 16×16 goes into ``small`` on the way."""
    for frame in frames:
        small.append(shrunk(frame))
        yield frame


def ask(
    checkpoint: Checkpoint, samples: Sequence[Sample], heads: Sequence[str], *, change: Change | None = None
) -> dict[str, FloatArray]:
    """What these heads say of the pictures, N × D each, by the runtime that serves uploads; ``change`` alters each
    picture first."""
    from booru_ml.nn.routes import open_session
    from booru_ml.pipeline.parts import serving

    session = open_session(checkpoint, **serving())
    try:
        parts = []
        for start in track(range(0, len(samples), BATCH), f"Asking {checkpoint.name}"):
            frames = frames_of(samples[start : start + BATCH], change)
            parts.append(session.see([fit(frame, checkpoint.preprocess) for frame in frames], only=tuple(heads)))
    finally:
        session.close()
    return {name: calibrated(checkpoint, name, np.concatenate([part[name] for part in parts])) for name in heads}


def frames_of(samples: Sequence[Sample], change: Change | None = None) -> Iterator[PixelArray]:
    for sample in samples:
        frame = read_picture(sample.path)
        yield frame if change is None else change(frame)
