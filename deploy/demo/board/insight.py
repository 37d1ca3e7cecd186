"""What the plugin says about a post, ready for its page."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING

from booru_ml.host.loader import host
from booru_ml.models import AnalysisJob
from booru_ml.types import Box, Category
from deploy.demo.board.models import Post
from embeddings.models import Vector
from embeddings.store import box_of
from tagging import permissions
from tagging.selectors import SuggestionView, suggestions_of

if TYPE_CHECKING:
    from django.contrib.auth.models import AnonymousUser, User

State = AnalysisJob.State
TITLES = {
    Category.RATING: "Rating",
    Category.CHARACTER: "Character",
    Category.ARTIST: "Artist",
    Category.COPYRIGHT: "Copyright",
    Category.GENERAL: "General",
    Category.META: "Meta",
    Category.QUALITY: "Drawing",
}
RATINGS = {"g": "general", "s": "sensitive", "q": "questionable", "e": "explicit"}


@dataclass(frozen=True, slots=True)
class Chip:
    """A suggestion as the page shows it, and what this reader may do with it."""

    view: SuggestionView
    label: str
    may_decide: bool
    may_undo: bool

    @property
    def agrees(self) -> bool:
        """Whether it only says what the post says already, so that nobody has to decide."""
        return self.view.confirms and self.view.state == "suggested"

    @property
    def colour(self) -> str:
        """Class of the label; rating and quality are no tags and keep the text's colour."""
        return f"tag-{self.view.category}" if self.view.category.is_tag else ""


@dataclass(frozen=True, slots=True)
class ChipGroup:
    title: str
    chips: tuple[Chip, ...]


@dataclass(frozen=True, slots=True)
class FaceBox:
    """A face found in the picture; ``name`` is the best suggestion for it, if any."""

    box: Box
    name: str = ""


@dataclass(frozen=True, slots=True)
class Insight:
    """``state`` is that of the newest analysis job, empty where the post has none."""

    state: str
    message: str
    groups: tuple[ChipGroup, ...]
    faces: tuple[FaceBox, ...]
    agreed: tuple[Chip, ...]
    may_read: bool

    @property
    def unfinished(self) -> bool:
        return self.state in (State.QUEUED, State.RUNNING)

    @property
    def failed(self) -> bool:
        return self.state in (State.REFUSED, State.QUARANTINED)

    @property
    def empty(self) -> bool:
        return not self.groups


def of(post: Post, *, viewer: User | AnonymousUser) -> Insight:
    job = AnalysisJob.objects.filter(post_id=post.pk).order_by("-id").first()
    facts = host().facts([post.pk]).get(post.pk)
    may_read = facts is not None and permissions.may_see(viewer, facts)
    views = suggestions_of([post.pk], confirming=True)[post.pk] if may_read else ()
    chips = []
    for view in views:
        decided = view.decision_id is not None
        automatic = view.state == "auto_applied"
        own = decided and view.decided_by is not None and view.decided_by == viewer.get_username()
        may_decide = facts is not None and permissions.may_decide(viewer, facts)
        chips.append(
            Chip(
                view=view,
                label=RATINGS.get(view.name, view.name) if view.category == Category.RATING else view.name,
                may_decide=may_decide and view.state in ("suggested", "auto_applied"),
                may_undo=decided and may_decide and (own or automatic or permissions.may_decide_any(viewer)),
            )
        )
    return Insight(
        state=job.state if job else "",
        message=job.message if job else "",
        groups=tuple(
            ChipGroup(TITLES[category], tuple(group))
            for category, group in groupby(
                (chip for chip in chips if not chip.agrees), key=lambda chip: chip.view.category
            )
        ),
        agreed=tuple(chip for chip in chips if chip.agrees),
        faces=_faces(post, views) if may_read else (),
        may_read=may_read,
    )


def _faces(post: Post, views: Iterable[SuggestionView]) -> tuple[FaceBox, ...]:
    """Face boxes as the newest model saw them, left to right."""
    rows = list(Vector.objects.filter(post_id=post.pk, kind=Vector.Kind.FACE).defer("data").order_by("-pk"))
    newest = [row for row in rows if row.model_version == rows[0].model_version]
    named = [view for view in views if view.box is not None and view.state != "rejected"]
    found = []
    for row in sorted(newest, key=lambda row: row.number):
        if box := box_of(row.box):
            names = (view.name for view in named if view.box is not None and _same(view.box, box))
            found.append(FaceBox(box, next(names, "")))
    return tuple(found)


def _same(one: Box, other: Box, tolerance: float = 0.005) -> bool:
    """Whether two boxes are one face's: they are stored apart, each rounded in its own way."""
    return abs(one.x - other.x) <= tolerance and abs(one.y - other.y) <= tolerance
