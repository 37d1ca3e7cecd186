"""What people look at: subjects with their counts, supports with their pictures."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import Count, Exists, OuterRef, Q, QuerySet

from booru_ml import vocabulary
from booru_ml.errors import CheckpointError, NotFound
from booru_ml.host.loader import host
from booru_ml.types import Box, PostFacts
from embeddings.calibration import active_version
from embeddings.models import Change, Subject, Support, Vector
from embeddings.store import box_of
from embeddings.types import Hit, Neighbour

ENROL = "booru_embeddings.enrol_subject"
DELETED = "deleted"


@dataclass(frozen=True, slots=True, kw_only=True)
class SupportView:
    """A support as a page shows it; ``live`` once its vector is there, so that new pictures are compared with it."""

    id: int
    post_id: Any
    kind: str
    number: int
    box: Box | None
    positive: bool
    learned: bool
    weight: float
    live: bool
    url: str
    thumbnail_url: str
    added_by: str | None
    added_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class HitView:
    """``tagged``: the post bears the tag already."""

    hit: Hit
    url: str
    thumbnail_url: str
    tagged: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class SimilarView:
    """``duplicate``: it shows the very picture that was asked about, as far as that was looked at."""

    post_id: Any
    similarity: float
    number: int
    url: str
    thumbnail_url: str
    rating: str | None
    duplicate: bool = False


def subjects(
    *, category: str | None = None, search: str = "", enabled: bool | None = None
) -> QuerySet[Subject, Subject]:
    """Subjects by name with ``shows`` and ``shows_not``: how many pictures do and do not show them."""
    rows = Subject.objects.annotate(
        shows=Count("supports", filter=Q(supports__positive=True)),
        shows_not=Count("supports", filter=Q(supports__positive=False)),
    ).select_related("created_by")
    if category:
        rows = rows.filter(category=category)
    if search:
        rows = bearing(rows, search)
    if enabled is not None:
        rows = rows.filter(enabled=enabled)
    return rows.order_by("name", "id")


def bearing(rows: QuerySet[Any], part: str) -> QuerySet[Any]:
    """Those whose name has this part, in whatever case."""
    # An expression, for SQLite's LIKE knows the case of ASCII letters alone.
    return rows.filter(name__iregex=re.escape(vocabulary.spelt(part)))


def subject(subject_id: int, *, category: str | None = None) -> Subject:
    """Raises ``NotFound``."""
    row = subjects(category=category).filter(pk=subject_id).first()
    if row is None:
        raise NotFound("There is no such character or artist.")
    return row


def supports(subject_id: int) -> QuerySet[Support, Support]:
    """A subject's supports, the latest first, each with ``live``."""
    vectors = Vector.objects.filter(post_id=OuterRef("post_id"), kind=OuterRef("kind"))
    with suppress(CheckpointError):  # the system checks tell of it; vectors of any model must do here
        vectors = vectors.filter(model_version=active_version())
    rows = Support.objects.filter(subject_id=subject_id).annotate(live=Exists(vectors))
    return rows.select_related("added_by").order_by("-id")


def support_views(rows: Iterable[Support], *, viewer: Any) -> list[SupportView]:
    """Rows of ``supports`` with their posts' pictures; none of posts that the viewer may not see."""
    found = list(rows)
    facts = host().facts({row.post_id for row in found})
    return [
        SupportView(
            id=row.pk,
            post_id=row.post_id,
            kind=row.kind,
            number=row.number,
            box=box_of(row.box),
            positive=row.positive,
            learned=row.learned,
            weight=row.weight,
            live=bool(getattr(row, "live", False)),
            url=facts[row.post_id].url,
            thumbnail_url=facts[row.post_id].thumbnail_url,
            added_by=row.added_by.get_username() if row.added_by else None,
            added_at=row.added_at,
        )
        for row in found
        if row.post_id in facts and may_see(viewer, facts[row.post_id])
    ]


def hit_views(hits: Sequence[Hit], *, name: str, viewer: Any) -> list[HitView]:
    """What a dry run found with the posts' pictures, in the same order; none of posts that the viewer may not see."""
    facts = host().facts([item.post_id for item in hits])
    return [
        HitView(
            hit=item,
            url=facts[item.post_id].url,
            thumbnail_url=facts[item.post_id].thumbnail_url,
            tagged=any(tag.name == name.lower() for tag in facts[item.post_id].tags),
        )
        for item in hits
        if item.post_id in facts and may_see(viewer, facts[item.post_id])
    ]


def changes(*, subject_id: int | None = None) -> QuerySet[Change, Change]:
    """The history of the gallery or of one subject, the latest first, with what its rows name already fetched."""
    rows = Change.objects.select_related("actor", "undone_by").order_by("-id")
    return rows if subject_id is None else rows.filter(Q(subject_id=subject_id) | Q(other_id=subject_id))


def sentence(change: Change) -> str:
    """What a change did, to stand behind the actor's name."""
    subjects, supports = change.delta.get("subjects", []), change.delta.get("supports", [])
    count = f"{len(supports)} picture{'s' * (len(supports) != 1)}"
    match change.verb:
        case Change.Verb.ENROL:
            return f"enrolled {change.name} by {count}"
        case Change.Verb.ADD_SUPPORT:
            return f"gave {change.name} {count}"
        case Change.Verb.REMOVE_SUPPORT:
            return f"took {count} from {change.name}"
        case Change.Verb.CHANGE:
            return f"changed {change.name}: {', '.join(_differences(*subjects[0]))}" if subjects else "changed nothing"
        case Change.Verb.MERGE:
            gone = ", ".join(before["name"] for before, after in subjects if before and not after)
            return f"merged {gone} into {change.name}"
        case Change.Verb.SPLIT:
            made = ", ".join(after["name"] for before, after in subjects if after and not before)
            return f"split {made} from {change.name} ({count})"
        case Change.Verb.WITHDRAW:
            return f"withdrew {change.name} and its {count}"
        case Change.Verb.LEARN:
            shows = any(after and after["positive"] for _, after in supports)
            return f"taught {change.name} by {'accepting' if shows else 'rejecting'} a suggestion"
        case Change.Verb.UNLEARN:
            return f"took back what a decision taught {change.name}"
    return f"took back a change of {change.name}"


def _differences(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    words = []
    if before["name"] != after["name"]:
        words.append(f"it was called {before['name']}, now {after['name']}")
    if before["enabled"] != after["enabled"]:
        words.append("enabled" if after["enabled"] else "disabled")
    return words


def similar_views(neighbours: Sequence[Neighbour], *, viewer: Any, twins: Collection[Any] = ()) -> list[SimilarView]:
    """Neighbours with their posts' pictures, in the same order; none of posts that the viewer may not see."""
    facts = host().facts([item.post_id for item in neighbours])
    return [
        SimilarView(
            post_id=item.post_id,
            similarity=item.similarity,
            number=item.number,
            url=facts[item.post_id].url,
            thumbnail_url=facts[item.post_id].thumbnail_url,
            rating=facts[item.post_id].rating,
            duplicate=item.post_id in twins,
        )
        for item in neighbours
        if item.post_id in facts and may_see(viewer, facts[item.post_id])
    ]


def may_see(viewer: Any, facts: PostFacts) -> bool:
    """Deleted posts are for those who enrol."""
    return facts.status != DELETED or bool(viewer is not None and viewer.has_perm(ENROL))
