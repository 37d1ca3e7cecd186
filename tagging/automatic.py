"""Writes suggestions to the board without a person, where the operators opened a category for it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection
from typing import Any

from django.db import router, transaction
from django.db.models import Exists, OuterRef, Q, QuerySet

from booru_ml.conf import config
from booru_ml.host.loader import host
from booru_ml.models import AnalysisJob
from booru_ml.statements import kept, slots
from booru_ml.types import PostFacts
from tagging import board
from tagging.models import Suggestion, SuggestionQuerySet, TagDecision
from tagging.rules import confirms, may_apply

State = Suggestion.State


@transaction.atomic(savepoint=False)
def apply(post_ids: Collection[Any], *, job_ids: Collection[int] = ()) -> int:
    """Applies what clears its category's bar on these posts; returns how many suggestions that were.

    Only rows that nobody ever decided: what a person undid is not done again. The exception are uploads whose own
    form replaced the tags after the analysis: the hook runs their fresh job (of ``job_ids``) a second time, and an
    automatic tag of the first run that is missing is written once more. Later removals are people's and stay.
    """
    bars = config().AUTO_APPLY_THRESHOLDS
    if not config().AUTO_APPLY or not bars:
        return 0
    using = router.db_for_write(Suggestion)
    fresh: list[Suggestion] = _fresh(using, tuple(bars.items())).rows(post=post_ids)
    wiped: list[Suggestion] = _wiped(using).rows(post=post_ids, id=job_ids)
    if not fresh and not wiped:
        return 0
    facts = host().facts({row.post_id for row in fresh + wiped})
    due: dict[Any, list[Suggestion]] = defaultdict(list)
    for row in fresh:
        if row.post_id not in facts or row.evidence.get("guess"):
            continue
        if may_apply(row.name, row.category, row.score, bars, facts[row.post_id]):
            due[row.post_id].append(row)
    for row in wiped:
        if row.post_id in facts and not confirms(row.name, row.category, facts[row.post_id]):
            due[row.post_id].append(row)
    decisions = [decision for post_id, waiting in due.items() for decision in _write(facts[post_id], waiting)]
    Suggestion.objects.filter(pk__in=[item.suggestion_id for item in decisions]).update(state=State.AUTO_APPLIED)
    TagDecision.objects.bulk_create(decisions)
    return len(decisions)


def _write(facts: PostFacts, rows: list[Suggestion]) -> list[TagDecision]:
    """One write per post; each suggestion gets its own share of the change."""
    added = set(host().add_tags(facts.id, [board.tag_of(row) for row in rows]))
    decisions = []
    for row in rows:
        if board.tag_of(row) not in added:
            continue
        # A repeated write starts from "suggested" too, so that undoing it takes the tag away like the first one.
        decisions.append(
            TagDecision(
                suggestion=row,
                verb=TagDecision.Verb.AUTO_APPLY,
                from_state=State.SUGGESTED,
                to_state=State.AUTO_APPLIED,
                delta={"tags_added": [[row.name, row.category]]},
            )
        )
    return decisions


@kept
def _fresh(using: str, bars: tuple[tuple[str, float], ...]) -> QuerySet[Suggestion]:
    """What clears the bar of its category."""
    over = Q(pk__in=())
    for category, least in bars:
        over |= Q(category=category, score__gte=least)
    return _locked(using).filter(over, state=State.SUGGESTED).untouched()


@kept
def _wiped(using: str) -> QuerySet[Suggestion]:
    """What was applied since these fresh jobs were written."""
    same_upload = AnalysisJob.objects.filter(
        pk__in=slots(AnalysisJob, "id"),
        priority=AnalysisJob.Priority.FRESH,
        post_id=OuterRef("post_id"),
        created_at__lte=OuterRef("created_at"),
    )
    return _locked(using).filter(Exists(same_upload), state=State.AUTO_APPLIED)


def _locked(using: str) -> SuggestionQuerySet:
    rows = Suggestion.objects.using(using).filter(post_id__in=slots(Suggestion, "post"))
    return rows.select_for_update(skip_locked=True)
