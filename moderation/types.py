"""Frozen views of the queue: what the admin and the API show. All text in them is plain and must be escaped in HTML."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from booru_ml.types import Box, Category, PostFacts, Rating
from tagging.selectors import SuggestionView


@dataclass(frozen=True, slots=True, kw_only=True)
class FlagView:
    """A reason to look. ``label`` is short, ``sentence`` says what was seen; ``score`` 0–1."""

    reason: str
    label: str
    score: float
    sentence: str
    model_version: str
    raised_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class RatingShare:
    """How likely (0–1) one rating is; ``rated``: the post carries it, ``likeliest``: the network would choose it."""

    rating: Rating
    name: str
    share: float
    rated: bool
    likeliest: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class FaceView:
    """A face from left to right, and who it may be: (name, probability, state), likeliest first; empty if unknown."""

    number: int
    box: Box
    score: float
    names: tuple[tuple[str, float, str], ...] = ()

    @property
    def name(self) -> str:
        """The likeliest name that nobody rejected; empty where there is none."""
        return next((name for name, _, state in self.names if state != "rejected"), "")


@dataclass(frozen=True, slots=True, kw_only=True)
class NeighbourView:
    """A similar post. ``duplicate``: so similar that a flag names it."""

    post: PostFacts
    similarity: float
    duplicate: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class DecisionView:
    """One line of history. ``undoable``: it is the one that an undo would take back now."""

    id: int
    verb: str
    actor: str | None
    at: datetime
    sentence: str
    note: str
    undone: bool
    undoable: bool
    is_tag: bool = False
    """A suggestion's decision rather than the case's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueItem:
    """A case with everything there is to see of it. ``value`` is the expected value of a look at ``read_at``.

    ``claimed_by`` is None unless somebody holds the case at that moment; ``scores`` are the probabilities of the small
    heads (``medium``, ``quality``) by label; ``width`` and ``height`` are the picture's pixels, 0 where unknown.
    """

    case_id: int
    state: str
    version: int
    value: float
    opened_at: datetime
    decided_at: datetime | None
    read_at: datetime
    claimed_by: str | None
    claimed_by_id: Any
    claimed_until: datetime | None
    post: PostFacts
    uploader: str
    width: int
    height: int
    flags: tuple[FlagView, ...]
    ratings: tuple[RatingShare, ...]
    scores: dict[str, dict[str, float]]
    suggestions: tuple[SuggestionView, ...]
    faces: tuple[FaceView, ...]
    neighbours: tuple[NeighbourView, ...]
    history: tuple[DecisionView, ...]

    @property
    def predicted(self) -> RatingShare | None:
        """The rating that the network would choose."""
        return next((share for share in self.ratings if share.likeliest), None)

    def of_category(self, category: Category) -> tuple[SuggestionView, ...]:
        return tuple(view for view in self.suggestions if view.category is category)

    @property
    def groups(self) -> tuple[tuple[Category, tuple[SuggestionView, ...]], ...]:
        """Suggested tags by category, in the order that they are read; ratings and grades are not tags."""
        return tuple((category, views) for category in READING if (views := self.of_category(category)))

    @property
    def opinions(self) -> tuple[SuggestionView, ...]:
        """Suggestions that are no tags: another rating, a grade of the drawing."""
        return tuple(view for view in self.suggestions if not view.category.is_tag)


# The categories of tags in the order that people look for them.
READING = (Category.CHARACTER, Category.ARTIST, Category.COPYRIGHT, Category.GENERAL, Category.META)


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """How many cases there are: by state, open ones by reason, and open ones that one moderator holds."""

    states: dict[str, int]
    reasons: dict[str, int]
    mine: int
