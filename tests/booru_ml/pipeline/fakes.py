"""Stand-ins for networks and decoders; ``tests/contracts`` hold them to what the real ones do."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import BinaryIO

import numpy as np

from booru_ml.errors import PictureRefused
from booru_ml.types import Category, Finding, Picture, Scores

VERSION = "fake@000000000000"


class FakeEngine:
    """Answers from the picture's mean colour. ``before`` runs on each batch and may raise."""

    version = VERSION

    def __init__(self, before: Callable[[Sequence[Picture]], None] = lambda pictures: None) -> None:
        self.before = before
        self.batches: list[int] = []

    def infer(self, pictures: Sequence[Picture]) -> list[Finding]:
        self.before(pictures)
        self.batches.append(len(pictures))
        return [self._one(picture) for picture in pictures]

    def warm_up(self) -> None: ...

    def close(self) -> None: ...

    @staticmethod
    def _one(picture: Picture) -> Finding:
        colour = picture.frames[0].reshape(-1, 3).mean(axis=0).astype(np.float32) + 1
        vector = np.resize(colour, 8).astype(np.float32)
        vector /= np.linalg.norm(vector)
        rating = np.array([0.7, 0.2, 0.05, 0.05], dtype=np.float32)
        scores = Scores("rating", ("g", "s", "q", "e"), (Category.RATING,) * 4, rating, VERSION)
        return Finding(vector, vector, (), {"rating": scores}, VERSION)


class FakeDecoders:
    """Decodes at once: bytes that begin with ``bad`` are refused, anything else is one flat colour."""

    def submit(self, stream: BinaryIO) -> Future[Picture]:
        future: Future[Picture] = Future()
        data = stream.read()
        if data.startswith(b"bad"):
            future.set_exception(PictureRefused("This is no picture.", code="corrupt"))
        else:
            digest = hashlib.sha256(data).digest()
            frame = np.full((8, 8, 3), list(digest[:3]), dtype=np.uint8)
            future.set_result(Picture((frame,), 8, 8, 1, "PNG", digest.hex()))
        return future

    def __enter__(self) -> FakeDecoders:
        return self

    def __exit__(self, *_: object) -> None: ...
