"""Features of pictures by a checkpoint's frozen backbone: what heads are fitted on."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from booru_ml.errors import InvalidInput
from booru_ml.nn import network
from booru_ml.nn.backbones import Backbone, Features
from booru_ml.nn.survey import read_picture
from booru_ml.nn.transforms import crop_square, fit, normalise
from booru_ml.progress import track
from booru_ml.types import FloatArray, PixelArray

if TYPE_CHECKING:
    from booru_ml.checkpoint import Checkpoint
    from booru_ml.training.manifest import Sample

BATCH = 4
"""Small: torch's eager convolutions are fastest on a core while their maps stay in its cache."""


def read(paths: Sequence[Path], what: str = "Reading pictures") -> Iterator[PixelArray]:
    """The pictures one by one, upright, H×W×3 uint8. Raises ``InvalidInput`` with the path of one that is broken."""
    for path in track(paths, what):
        try:
            yield read_picture(path)
        except OSError as error:
            raise InvalidInput(f"{path} cannot be read as a picture: {error}") from error


def meant(samples: Sequence[Sample], what: str, margin: float) -> Iterator[PixelArray]:
    """What each sample means, H×W×3 uint8: its picture, or the square about its box, ``margin`` times as large."""
    for sample, frame in zip(samples, read([sample.path for sample in samples], what), strict=True):
        yield frame if sample.box is None else crop_square(frame, sample.box, margin)


class Frozen:
    """A checkpoint's network that only looks: nothing in it learns."""

    def __init__(self, checkpoint: Checkpoint, *, stages: Sequence[int] = ()) -> None:
        self._preprocess = checkpoint.preprocess
        self._network = network.load(checkpoint)
        wanted = {*stages, *self._network.backbone.stages}
        self.backbone = Backbone(self._network.backbone.model, sorted(wanted)).to(
            memory_format=torch.channels_last  # type: ignore[call-overload]
        )

    def inputs(self, frames: Iterable[PixelArray], names: Sequence[str]) -> FloatArray:
        """What a scored head with these ``inputs`` sees, N × D: pooled features, vectors of the heads."""
        modules: Any = self._network.heads

        def take(features: Features) -> Tensor:
            return torch.cat([features.pooled if n == "pooled" else modules[n](features, {}) for n in names], dim=1)

        return self.rows(frames, take)

    def maps(self, frames: Iterable[PixelArray], stages: Sequence[int]) -> Iterator[tuple[Tensor, ...]]:
        """The maps (B, C, H, W) of ``stages``, batch by batch."""
        for features in self._batches(frames):
            yield tuple(features.maps[stage] for stage in stages)

    def rows(self, frames: Iterable[PixelArray], take: Callable[[Features], Tensor]) -> FloatArray:
        """What ``take`` makes of the features of a batch, N × D over all of them."""
        rows = [take(features).numpy() for features in self._batches(frames)]
        if not rows:
            raise InvalidInput("There are no pictures to look at.")
        return np.concatenate(rows)

    @torch.inference_mode()
    def _batches(self, frames: Iterable[PixelArray]) -> Iterator[Features]:
        coming = iter(frames)
        while fitted := [fit(frame, self._preprocess) for frame in islice(coming, BATCH)]:
            batch = torch.from_numpy(normalise(fitted, self._preprocess))
            yield self.backbone.features(batch.contiguous(memory_format=torch.channels_last))
