"""What the queue's readers get: frozen views, in a constant number of queries for a page of any length."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from django.apps import apps
from django.contrib.auth import get_user_model
from django.core.exceptions import FieldDoesNotExist
from django.db.models import Count
from django.utils import timezone

from booru_ml.conf import config, post_model
from booru_ml.errors import NotFound
from booru_ml.host.loader import host
from booru_ml.http import post_key
from booru_ml.types import PostFacts
from embeddings.models import Vector
from embeddings.store import box_of
from moderation import history, priority, rules, states
from moderation.models import Case, CaseQuerySet, Flag
from moderation.types import Counts, FaceView, FlagView, NeighbourView, QueueItem, RatingShare
from tagging.rules import ratings
from tagging.selectors import SuggestionView, suggestions_of
from tagging.wording import RATINGS


def queue(
    *, state: str | None = states.OPEN, reason: str | None = None, held_by: Any = None, free_for: Any = None
) -> CaseQuerySet:
    """Cases in the queue's order. ``held_by`` and ``free_for`` are users' ids."""
    cases = Case.objects.with_reason(reason)
    if state is not None:
        cases = cases.filter(state=state)
    if held_by is not None:
        cases = cases.held_by(held_by)
    if free_for is not None:
        cases = cases.free_for(free_for)
    return cases


def counts(*, user_id: Any) -> Counts:
    """For the queue's filters, in three queries."""
    by_state = Case.objects.order_by().values_list("state").annotate(count=Count("pk"))
    standing = Flag.objects.filter(active=True, post__booru_case__state=states.OPEN)
    by_reason = standing.order_by().values_list("reason").annotate(count=Count("pk"))
    return Counts(
        states=dict.fromkeys(states.STATES, 0) | dict(by_state),
        reasons=dict.fromkeys(rules.REASONS, 0) | dict(by_reason),
        mine=Case.objects.filter(state=states.OPEN).held_by(user_id).count(),
    )


def item(case_id: int) -> QueueItem:
    """One case. Raises ``NotFound``."""
    found = items(Case.objects.filter(pk=case_id))
    if not found:
        raise NotFound(f"There is no case {case_id}; its post may have been removed from the board.")
    return found[0]


def items(cases: Iterable[Case]) -> tuple[QueueItem, ...]:
    """Views of ``cases`` in their order; a case whose post the host does not know any more is left out."""
    if isinstance(cases, CaseQuerySet):
        cases = cases.select_related("claimed_by")
    cases = list(cases)
    post_ids = [case.post_id for case in cases]
    near = {case.post_id: _near(case) for case in cases}
    facts = host().facts({*post_ids, *(post_id for found in near.values() for post_id, _ in found)})
    flags = _flags(post_ids)
    suggestions = suggestions_of(post_ids)
    faces = faces_of(post_ids, suggestions)
    decisions = history.of_cases(cases)
    uploaders = _usernames(facts[post_id].uploader_id for post_id in post_ids if post_id in facts)
    now = timezone.now()
    return tuple(
        QueueItem(
            case_id=case.pk,
            state=case.state,
            version=case.version,
            value=priority.value(case.priority, now=now),
            opened_at=case.opened_at,
            decided_at=case.decided_at,
            read_at=now,
            **_holder(case, now),
            post=facts[case.post_id],
            uploader=uploaders.get(facts[case.post_id].uploader_id, ""),
            width=int(case.analysis.get("width") or 0),
            height=int(case.analysis.get("height") or 0),
            flags=tuple(_flag_view(flag) for flag in flags[case.post_id]),
            ratings=_ratings(case, facts[case.post_id]),
            scores=_small_heads(case),
            suggestions=suggestions[case.post_id],
            faces=faces[case.post_id],
            neighbours=_neighbours(near[case.post_id], facts, flags[case.post_id]),
            history=decisions[case.pk],
        )
        for case in cases
        if case.post_id in facts
    )


def faces_of(
    post_ids: Sequence[Any], suggestions: Mapping[Any, Sequence[SuggestionView]]
) -> dict[Any, tuple[FaceView, ...]]:
    """Faces of the newest analysis by post, left to right, with the characters that were recognised in them."""
    rows: dict[Any, list[Vector]] = defaultdict(list)
    vectors = Vector.objects.filter(post_id__in=post_ids, kind=Vector.Kind.FACE).defer("data").order_by("-pk")
    for row in vectors:
        if not rows[row.post_id] or rows[row.post_id][0].model_version == row.model_version:
            rows[row.post_id].append(row)
    found = {}
    for post_id in post_ids:
        boxed = [view for view in suggestions[post_id] if view.box]
        faces = []
        for row in sorted(rows[post_id], key=lambda row: row.number):
            if box := box_of(row.box):
                names = tuple((v.name, v.score, v.state) for v in boxed if v.box and _same(v.box, box))
                score = float((row.box or {}).get("score", 0.0))
                faces.append(FaceView(number=row.number, box=box, score=score, names=names))
        found[post_id] = tuple(faces)
    return found


def _holder(case: Case, now: datetime) -> dict[str, Any]:
    held = case.claimed_by is not None and case.claimed_until is not None and case.claimed_until > now
    return {
        "claimed_by": case.claimed_by.get_username() if held and case.claimed_by else None,
        "claimed_by_id": case.claimed_by_id if held else None,
        "claimed_until": case.claimed_until if held else None,
    }


def _flags(post_ids: Sequence[Any]) -> dict[Any, list[Flag]]:
    found: dict[Any, list[Flag]] = defaultdict(list)
    for flag in Flag.objects.filter(post_id__in=post_ids, active=True):
        found[flag.post_id].append(flag)
    return found


def _flag_view(flag: Flag) -> FlagView:
    return FlagView(
        reason=flag.reason,
        label=flag.get_reason_display(),
        score=flag.score,
        sentence=rules.sentence(flag.reason, flag.score, flag.detail),
        model_version=flag.model_version,
        raised_at=flag.created_at,
    )


def _ratings(case: Case, facts: PostFacts) -> tuple[RatingShare, ...]:
    shares = ratings(dict(case.analysis.get("scores", {}).get("rating", ())))
    likeliest = max(shares, key=lambda rating: (shares[rating], rating.severity), default=None)
    return tuple(
        RatingShare(
            rating=rating,
            name=RATINGS[rating],
            share=share,
            rated=rating is facts.rating,
            likeliest=rating is likeliest,
        )
        for rating, share in shares.items()
    )


def _small_heads(case: Case) -> dict[str, dict[str, float]]:
    scores: Mapping[str, Sequence[tuple[str, float]]] = case.analysis.get("scores", {})
    return {head: dict(scores[head]) for head in ("medium", "quality") if head in scores}


def _same(one: Any, other: Any, tolerance: float = 0.005) -> bool:
    """Whether two boxes are one face's: they are stored apart, each rounded in its own way."""
    sides = ("x", "y", "width", "height")
    return all(abs(getattr(one, side) - getattr(other, side)) <= tolerance for side in sides)


def _near(case: Case) -> list[tuple[Any, float]]:
    found = []
    for entry in case.analysis.get("near", ()):
        try:
            found.append((post_key(entry["post"]), float(entry["similarity"])))
        except (NotFound, KeyError, TypeError, ValueError):
            continue  # written by a version with other keys
    return found


def _neighbours(
    near: Iterable[tuple[Any, float]], facts: Mapping[Any, PostFacts], flags: Iterable[Flag]
) -> tuple[NeighbourView, ...]:
    duplicates = {
        str(entry.get("post"))
        for flag in flags
        if flag.reason == rules.DUPLICATE
        for entry in flag.detail.get("posts", ())
    }
    return tuple(
        NeighbourView(post=facts[post_id], similarity=similarity, duplicate=str(post_id) in duplicates)
        for post_id, similarity in near
        if post_id in facts
    )


def _usernames(user_ids: Iterable[Any]) -> dict[Any, str]:
    """Names by id, where the host's uploaders are its users; an uploader of another kind is shown by id."""
    wanted: Collection[Any] = {user_id for user_id in user_ids if user_id is not None}
    names = {user_id: str(user_id) for user_id in wanted}
    try:
        field: Any = apps.get_model(post_model())._meta.get_field(config().FIELDS["uploader"])
    except (FieldDoesNotExist, KeyError):
        return names
    users = get_user_model()
    if wanted and field.related_model is users:
        found = users._default_manager.filter(pk__in=wanted)
        names |= {user.pk: user.get_username() for user in found}
    return names
