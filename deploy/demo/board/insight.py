"""What the plugin says about a post, ready for its page."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING

from booru_ml.host.loader import host
from booru_ml.models import AnalysisJob
from booru_ml.types import Category, PostFacts
from deploy.demo.board.models import Post
from moderation.selectors import faces_of
from moderation.types import FaceView
from tagging import permissions
from tagging.selectors import SuggestionView, suggestions_of
from tagging.wording import RATINGS

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
class Insight:
    """``state`` is that of the newest analysis job, empty where the post has none."""

    state: str
    message: str
    groups: tuple[ChipGroup, ...]
    faces: tuple[FaceView, ...]
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
    chips = _chips(views, facts, viewer) if facts else []
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
        faces=faces_of([post.pk], {post.pk: views})[post.pk] if may_read else (),
        may_read=may_read,
    )


def _chips(views: Iterable[SuggestionView], facts: PostFacts, viewer: User | AnonymousUser) -> list[Chip]:
    may_decide = permissions.may_decide(viewer, facts)
    return [
        Chip(
            view=view,
            label=RATINGS.get(view.name, view.name) if view.category == Category.RATING else view.name,
            may_decide=may_decide and view.state in ("suggested", "auto_applied"),
            may_undo=view.decision_id is not None
            and permissions.may_undo(
                viewer, facts, decided_by=view.decided_by_id, automatic=view.state == "auto_applied"
            ),
        )
        for view in views
    ]
