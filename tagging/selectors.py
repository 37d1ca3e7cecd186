"""What others read of tagging: frozen views, in a constant number of queries."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import QuerySet

from booru_ml.host.loader import host
from booru_ml.types import Box, Category, PostFacts
from tagging.models import Suggestion, TagDecision
from tagging.rules import confirms
from tagging.wording import why

ORDER = {
    category: place
    for place, category in enumerate(
        (
            Category.RATING,
            Category.CHARACTER,
            Category.ARTIST,
            Category.COPYRIGHT,
            Category.GENERAL,
            Category.META,
            Category.QUALITY,
        )
    )
}
SHOWN = (
    Suggestion.State.SUGGESTED,
    Suggestion.State.ACCEPTED,
    Suggestion.State.REJECTED,
    Suggestion.State.AUTO_APPLIED,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class SuggestionView:
    """A suggestion as people meet it.

    ``why`` is a plain sentence (escape it); ``box`` the face it speaks of; ``confirms``: the post is so already.
    ``decision_id`` is the standing decision, what an undo takes back; None while it is open.
    """

    id: int
    post_id: Any
    name: str
    category: Category
    score: float
    state: str
    source: str
    why: str
    model_version: str
    gallery_revision: int | None
    box: Box | None
    shares: dict[str, float]
    confirms: bool
    created_at: datetime
    scored_at: datetime
    decision_id: int | None = None
    decided_by: str | None = None
    decided_by_id: Any = None
    decided_at: datetime | None = None


def suggestions_of(
    post_ids: Iterable[Any], *, confirming: bool = False, states: Collection[str] = SHOWN
) -> dict[Any, tuple[SuggestionView, ...]]:
    """Suggestions by post, every given post present: by category, then best first.

    Open ones that the post already fulfils (it has the tag, it is so rated) are left out unless ``confirming``: they
    ask nothing of anybody, but tell moderators what the networks think of the present rating.
    """
    wanted = list(dict.fromkeys(post_ids))
    rows = list(Suggestion.objects.of_posts(wanted, states=states))
    facts = host().facts({row.post_id for row in rows}) if rows else {}
    standing = _standing(row.pk for row in rows if row.state != Suggestion.State.SUGGESTED)
    views: dict[Any, list[SuggestionView]] = defaultdict(list)
    for row in rows:
        view = _view(row, facts.get(row.post_id), standing.get(row.pk))
        if confirming or not (view.confirms and row.state == Suggestion.State.SUGGESTED):
            views[row.post_id].append(view)
    return {post_id: tuple(sorted(views[post_id], key=_rank)) for post_id in wanted}


def suggestion(suggestion_id: int) -> SuggestionView:
    """One suggestion. Raises ``Suggestion.DoesNotExist``."""
    row = Suggestion.objects.get(pk=suggestion_id)
    facts = host().facts([row.post_id]).get(row.post_id)
    return _view(row, facts, _standing([row.pk]).get(row.pk))


def decisions_of(post_id: Any) -> QuerySet[TagDecision]:
    """The history of a post's suggestions, newest first, with what its rows name already fetched."""
    return TagDecision.objects.filter(suggestion__post_id=post_id).select_related("suggestion", "actor", "undone_by")


def username(user: Any) -> str | None:
    return user.get_username() if user is not None else None


def _standing(suggestion_ids: Iterable[int]) -> dict[int, TagDecision]:
    """The decision in force for each suggestion: the latest that nobody undid."""
    rows = (
        TagDecision.objects.filter(suggestion_id__in=list(suggestion_ids), undone_by=None)
        .exclude(verb=TagDecision.Verb.UNDO)
        .select_related("actor")
        .order_by("id")
    )
    return {row.suggestion_id: row for row in rows}


def _view(row: Suggestion, facts: PostFacts | None, decision: TagDecision | None) -> SuggestionView:
    box = row.evidence.get("box")
    return SuggestionView(
        id=row.pk,
        post_id=row.post_id,
        name=row.name,
        category=Category(row.category),
        score=row.score,
        state=row.state,
        source=row.source,
        why=why(score=row.score, evidence=row.evidence, model_version=row.model_version),
        model_version=row.model_version,
        gallery_revision=row.gallery_revision,
        box=Box(*box) if box else None,
        shares=dict(row.evidence.get("shares") or {}),
        confirms=confirms(row.name, row.category, facts),
        created_at=row.created_at,
        scored_at=row.scored_at,
        decision_id=decision.pk if decision else None,
        decided_by=username(decision.actor) if decision else None,
        decided_by_id=decision.actor_id if decision else None,
        decided_at=decision.created_at if decision else None,
    )


def _rank(view: SuggestionView) -> tuple[int, float, str]:
    return ORDER[view.category], -view.score, view.name
