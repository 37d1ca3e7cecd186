"""Values that leave this app: frozen and plain."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from booru_ml.types import Box, Category

IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class SupportRef:
    """A picture (or one of its faces, or its style) that shows a subject. ``number`` is the face's, else 0."""

    post_id: Any
    kind: str = "picture"
    number: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Match:
    """How well one subject fits one picture.

    ``probability`` (0–1) is calibrated, but for a ``guess``: by an encoder that says nothing of its similarities.
    ``similarity`` (-1–1) is the raw score, ``margin`` its lead over the best rival (or over a stranger's level) in
    standard deviations. ``known`` is False where the honest answer is "unknown"; such matches are candidates to show,
    never to apply. ``face`` and ``box`` say which face spoke, None for the whole picture. ``nearest_post_ids`` are the
    support pictures that look most alike, the nearest first.
    """

    subject_id: int
    name: str
    category: Category
    probability: float
    similarity: float
    margin: float
    support_count: int
    known: bool
    face: int | None = None
    box: Box | None = None
    nearest_post_ids: tuple[Any, ...] = ()
    gallery_revision: int = 0
    guess: bool = False


@dataclass(frozen=True, slots=True)
class Neighbour:
    """A post near a query: cosine similarity (-1–1) of its nearest vector; ``number`` tells which face."""

    post_id: Any
    similarity: float
    number: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Hit:
    """A post that a dry run looked at: what it would be told of the subject. Fields as in ``Match``."""

    post_id: Any
    probability: float
    similarity: float
    margin: float
    known: bool
    face: int | None
    box: Box | None
    nearest_post_ids: tuple[Any, ...]

    @classmethod
    def of(cls, post_id: Any, match: Match) -> Hit:
        return cls(
            post_id=post_id,
            probability=match.probability,
            similarity=match.similarity,
            margin=match.margin,
            known=match.known,
            face=match.face,
            box=match.box,
            nearest_post_ids=match.nearest_post_ids,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Preview:
    """A dry run, the likeliest posts first.

    ``threshold``: from where on (0–1) the gallery names anybody. Of ``total`` other posts that are analysed the nearest
    ``compared`` were looked at; what lies farther is unlikely to be it. ``examples`` pictures would show the subject;
    ``waiting`` are not analysed yet.
    """

    name: str
    category: str
    hits: tuple[Hit, ...]
    threshold: float
    compared: int
    total: int
    examples: int
    waiting: int

    @property
    def complete(self) -> bool:
        return self.compared >= self.total

    @property
    def count(self) -> int:
        """How many posts would be named."""
        return sum(hit.known for hit in self.hits)


@dataclass(frozen=True, slots=True, kw_only=True)
class Suspicion:
    """A support picture that a person should look at; similarities are cosines.

    ``own``: to the rest of its subject. ``reason``: ``rival`` where it is nearer to ``rival``, ``lonely`` where it is
    like nothing that is enrolled: a look of its own, or a mistake.
    """

    support_id: int
    post_id: Any
    own: float
    rival_similarity: float | None
    rival: str | None
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkup:
    """How well a subject is known by one kind of vector.

    ``consistency`` (0–1): how many supports are nearer to the others than to any rival; None where there is but one.
    ``rival`` is the subject most like it, by ``similarity`` (cosine of the means).
    """

    kind: str
    supports: int
    consistency: float | None
    rival_id: int | None
    rival: str | None
    similarity: float | None
    suspicions: tuple[Suspicion, ...]
