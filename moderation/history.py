"""The history of cases as lines to read, each with what may be undone now."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

from django.contrib.auth.models import AnonymousUser

from booru_ml.types import Category
from moderation import states
from moderation.models import Case, Decision, Flag
from moderation.types import DecisionView, QueueItem
from tagging.models import TagDecision
from tagging.permissions import may_undo
from tagging.selectors import decisions_of, username

_TAG_WORDS = {
    TagDecision.Verb.ACCEPT: "accepted",
    TagDecision.Verb.REJECT: "rejected",
    TagDecision.Verb.AUTO_APPLY: "applied automatically:",
    TagDecision.Verb.UNDO: "took back the decision on",
}


def of_cases(cases: Iterable[Case]) -> dict[int, tuple[DecisionView, ...]]:
    """Decisions by case, newest first, every given case present."""
    by_id = {case.pk: case for case in cases}
    rows: dict[int, list[Decision]] = defaultdict(list)
    for row in Decision.objects.filter(case_id__in=list(by_id)).select_related("actor", "undone_by"):
        rows[row.case_id].append(row)
    return {pk: _views(case, rows[pk]) for pk, case in by_id.items()}


def timeline(item: QueueItem, actor: Any) -> tuple[DecisionView, ...]:
    """The case's decisions and those on its post's suggestions in one line of time, newest first."""
    standing = {view.decision_id for view in item.suggestions}
    actor = actor or AnonymousUser()
    tags = tuple(
        DecisionView(
            id=row.pk,
            verb=row.verb,
            actor=username(row.actor),
            at=row.created_at,
            sentence=f"{_TAG_WORDS[TagDecision.Verb(row.verb)]} {_tag(row)}",
            note="",
            undone=hasattr(row, "undone_by"),
            undoable=row.pk in standing
            and may_undo(actor, item.post, decided_by=row.actor_id, automatic=row.verb == TagDecision.Verb.AUTO_APPLY),
            is_tag=True,
        )
        for row in decisions_of(item.post.id)
    )
    return tuple(sorted((*item.history, *tags), key=lambda view: (view.at, view.is_tag, view.id), reverse=True))


def _views(case: Case, rows: list[Decision]) -> tuple[DecisionView, ...]:
    last = next((row for row in rows if row.verb != states.UNDO and not hasattr(row, "undone_by")), None)
    return tuple(
        DecisionView(
            id=row.pk,
            verb=row.verb,
            actor=username(row.actor),
            at=row.created_at,
            sentence=sentence(row),
            note=row.note,
            undone=hasattr(row, "undone_by"),
            undoable=row is last and row.verb in states.POST_STATUS and case.state == row.to_state,
        )
        for row in rows
    )


def sentence(row: Decision) -> str:
    """What a decision did, to stand behind the actor's name."""
    before, after = row.delta.get("status_before"), row.delta.get("status_after")
    change = f" ({before} → {after})" if before != after else ""
    match row.verb:
        case "approve":
            return f"approved the post{change}"
        case "reject":
            return f"rejected the post{change}"
        case "undo":
            return f"took the decision back{change}"
    if row.delta.get("picture_replaced"):
        return "reopened: the picture was replaced"
    labels = [str(dict(Flag.Reason.choices).get(reason, reason)) for reason in row.delta.get("reasons", ())]
    return f"reopened by a new reason: {', '.join(labels)}"


def _tag(row: TagDecision) -> str:
    suggestion = row.suggestion
    category = Category(suggestion.category)
    return suggestion.name if category.is_tag else f"{category} {suggestion.name}"
