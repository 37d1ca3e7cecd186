"""Writes proposals into suggestion rows, in a constant number of statements per batch."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from django.db import router, transaction
from django.db.models import QuerySet
from django.db.models.sql import InsertQuery

from booru_ml.statements import insert, kept, slots
from tagging.models import Suggestion
from tagging.rules import Proposal

_RESCORED = ["score", "source", "model_version", "gallery_revision", "evidence", "state", "scored_at"]
_KEY = ["post", "category", "name"]


@transaction.atomic(savepoint=False)
def keep(wanted: Mapping[Any, Sequence[Proposal]], *, sources: Collection[str]) -> None:
    """Makes the open suggestions of these posts what ``wanted`` (by post id) says.

    Rows that somebody decided, or decides right now in another transaction, stay untouched. Open rows of ``sources``
    that the run no longer supports go: deleted, or marked withdrawn where an audit row refers to them. A row of
    another source gives way only to a better score.
    """
    using = router.db_for_write(Suggestion)
    known = set(_known(using).rows(post=wanted))
    ours = {_key(row): row for row in _undecided(using).rows(post=wanted)} if known else {}
    taken = known - set(ours)

    new: list[Suggestion] = []
    rescored: list[Suggestion] = []
    supported = set()
    for post_id in sorted(wanted, key=str):
        for item in sorted(wanted[post_id], key=lambda item: item.tag):
            key = (post_id, str(item.category), item.name)
            supported.add(key)
            row = ours.get(key)
            if key in taken or (row and _outdone(row, item, sources)):
                continue
            (rescored if row else new).append(_row(post_id, item))

    _insert(using).run_each([vars(row) for row in new])
    _rescore(using).run_each([vars(row) for row in rescored])
    gone = [
        row.pk
        for key, row in ours.items()
        if key not in supported and row.source in sources and row.state == Suggestion.State.SUGGESTED
    ]
    if gone:
        leaving = Suggestion.objects.filter(pk__in=gone, state=Suggestion.State.SUGGESTED)
        leaving.untouched().delete()
        leaving.update(state=Suggestion.State.WITHDRAWN)


def _outdone(row: Suggestion, item: Proposal, sources: Collection[str]) -> bool:
    open_elsewhere = row.state == Suggestion.State.SUGGESTED and row.source not in sources
    return open_elsewhere and row.score >= item.score


def _row(post_id: Any, item: Proposal) -> Suggestion:
    return Suggestion(
        post_id=post_id,
        name=item.name,
        category=str(item.category),
        score=item.score,
        source=item.source,
        model_version=item.model_version[:64],
        gallery_revision=item.gallery_revision,
        evidence=dict(item.evidence),
    )


def _key(row: Suggestion) -> tuple[Any, str, str]:
    return row.post_id, row.category, row.name


@kept
def _known(using: str) -> QuerySet[Any]:
    rows = Suggestion.objects.using(using).filter(post_id__in=slots(Suggestion, "post"))
    return rows.values_list("post_id", "category", "name")


@kept
def _undecided(using: str) -> QuerySet[Suggestion]:
    rows = Suggestion.objects.using(using).of_posts(slots(Suggestion, "post"), states=Suggestion.UNDECIDED)
    # Skipping locked rows keeps a worker from waiting for, or deadlocking with, a person's decision.
    return rows.select_for_update(skip_locked=True)


@kept
def _insert(using: str) -> InsertQuery:
    return insert(Suggestion)


@kept
def _rescore(using: str) -> InsertQuery:
    return insert(Suggestion, unique_fields=_KEY, update_fields=_RESCORED)
