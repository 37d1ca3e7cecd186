"""Values that travel between the apps: frozen, plain, free of Django, torch and open files.

A picture's way up is ``Picture`` (decoded) → ``Finding`` (what the networks said) → ``Analysis`` (the finding of one
job), which the sinks of ``booru_ml.conf`` receive in batches.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float32]
PixelArray = npt.NDArray[np.uint8]


class Category(StrEnum):
    """Danbooru's tag categories; ``rating`` and ``quality`` are suggestions that never enter the tag list."""

    GENERAL = "general"
    ARTIST = "artist"
    COPYRIGHT = "copyright"
    CHARACTER = "character"
    META = "meta"
    RATING = "rating"
    QUALITY = "quality"

    @property
    def is_tag(self) -> bool:
        return self not in (Category.RATING, Category.QUALITY)


class Rating(StrEnum):
    """Danbooru's four ratings, mildest first."""

    GENERAL = "g"
    SENSITIVE = "s"
    QUESTIONABLE = "q"
    EXPLICIT = "e"

    @property
    def severity(self) -> int:
        return list(Rating).index(self)


@dataclass(frozen=True, slots=True, order=True)
class TagRef:
    """A tag by name and category, whatever the host board calls its rows."""

    name: str
    category: Category = Category.GENERAL


@dataclass(frozen=True, slots=True)
class PostFacts:
    """What the host board knows of a post. ``status`` is ours: pending, active, flagged or deleted."""

    id: Any
    tags: frozenset[TagRef]
    rating: Rating | None
    source: str
    uploader_id: Any
    status: str
    url: str
    picture_url: str
    thumbnail_url: str


@dataclass(frozen=True, slots=True)
class Picture:
    """A decoded picture: upright sRGB frames, alpha flattened on white.

    ``frames``: one array for a still, first/middle/last for an animation; each H×W×3 uint8, long side reduced to the
    decoder's limit. ``width``/``height`` are those of the upright original, in pixels.
    """

    frames: tuple[PixelArray, ...]
    width: int
    height: int
    frame_count: int
    format: str
    sha256: str
    conversions: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle as fractions (0–1) of the upright picture's width and height."""

    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True, slots=True)
class Face:
    """A face in the picture: where, how sure the detector is (0–1), its L2-normalised embedding (D,)."""

    box: Box
    score: float
    embedding: FloatArray


@dataclass(frozen=True, slots=True)
class Scores:
    """One head's answer: probabilities (0–1) over its labels. ``model`` names the checkpoint version that said it."""

    head: str
    labels: tuple[str, ...]
    categories: tuple[Category, ...]
    values: FloatArray
    model: str

    def as_dict(self) -> dict[str, float]:
        return {label: float(value) for label, value in zip(self.labels, self.values, strict=True)}


@dataclass(frozen=True, slots=True)
class Finding:
    """Everything the networks said about one picture.

    ``embedding`` (D,) and ``style`` (S,) are L2-normalised float32; ``scores`` maps a head's name (``rating``,
    ``medium``, ``quality``, ``tags``, …) to its answer; ``embedding_model`` names the checkpoint version whose
    space ``embedding``, ``style`` and the faces' embeddings live in.
    """

    embedding: FloatArray
    style: FloatArray
    faces: tuple[Face, ...]
    scores: Mapping[str, Scores]
    embedding_model: str


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a picture cannot be analysed: a stable ``code`` and a sentence for people. The post itself stays."""

    code: str
    message: str


@dataclass(frozen=True, slots=True)
class Analysis:
    """One job's outcome on its way up through the sinks; exactly one of ``finding`` and ``refusal`` is set."""

    job_id: int
    post_id: Any
    pipeline_version: str
    sha256: str
    width: int = 0
    height: int = 0
    frame_count: int = 0
    finding: Finding | None = None
    refusal: Refusal | None = None
    timings: Mapping[str, float] = field(default_factory=dict)
