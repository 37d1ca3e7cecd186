"""Takes back as a whole what a model suggested. What people decided about it stays."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from django.db import transaction
from django.db.models import Q

from booru_ml.types import Category
from tagging import board
from tagging.models import Suggestion, TagDecision
from tagging.rules import MEDIUM_TAGS

State, Source, Verb = Suggestion.State, Suggestion.Source, TagDecision.Verb

_APART = {
    "rating": Q(category=Category.RATING),
    "quality": Q(category=Category.QUALITY),
    "medium": Q(category=Category.META, name__in=list(MEDIUM_TAGS.values())),
}
# By which rows a task is known: the heads that ``tagging.rules.HEADS`` reads, and the space that the gallery lives in.
SAID_FOR = {
    **{task: Q(source=Source.MODEL) & which for task, which in _APART.items()},
    "tags": Q(source=Source.MODEL) & ~(_APART["rating"] | _APART["quality"] | _APART["medium"]),
    "embedding": Q(source=Source.PROTOTYPE),
}


@transaction.atomic
def withdraw_run(*, version: str, tasks: Collection[str], actor: Any, most: int) -> int:
    """Withdraws up to ``most`` suggestions of a model that nobody decided, and takes the tags that were applied
    automatically off their posts again; returns how many, 0 once none is left.

    Rows that somebody decides this very moment are theirs.
    """
    said = Q(pk__in=())
    for task in tasks:
        said |= SAID_FOR.get(task, Q(pk__in=()))
    rows = Suggestion.objects.pending().filter(said, model_version=version).order_by("pk")
    picked = list(rows.select_for_update(skip_locked=True)[:most])
    chosen = Suggestion.objects.filter(pk__in=[row.pk for row in picked])
    applied = [row for row in picked if row.state == State.AUTO_APPLIED]
    TagDecision.objects.bulk_create([undone for row in applied if (undone := _take_off(row, actor))])
    chosen.untouched().delete()
    chosen.update(state=State.WITHDRAWN)
    return len(picked)


def _take_off(row: Suggestion, actor: Any) -> TagDecision | None:
    """Off the board what was applied, whatever else was changed there since; None where no audit row says what."""
    standing = row.decisions.filter(verb=Verb.AUTO_APPLY, undone_by=None).order_by("-id").first()
    if standing is None:
        return None
    return TagDecision(
        suggestion=row,
        actor=actor,
        verb=Verb.UNDO,
        from_state=State.AUTO_APPLIED,
        to_state=State.WITHDRAWN,
        delta=board.take_back(row.post_id, standing.delta),
        undoes=standing,
    )
