"""The gallery's revision, and whom each raise of it touched, so that a reader need not read everybody again."""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from typing import Any

from django.db.models import F, QuerySet

from booru_ml.statements import kept
from embeddings.models import Gallery, Touched

KEPT = 1000
"""For so many raises it is known whom they touched."""
TIDIED = 100

Revision = tuple[int, uuid.UUID | None]


def revision() -> Revision:
    """The gallery's revision and its token, in one cheap query."""
    return next(iter(_revision(Gallery.objects.db).rows()), (0, None))


def bump(subject_ids: Iterable[int] | None = None) -> int:
    """Raises the revision inside the caller's transaction, in line with all others that do; returns it.

    Without the subjects that it touches it could be anybody, unless ``narrow`` says it before the transaction ends.
    """
    token = uuid.uuid4()
    raised = {"revision": F("revision") + 1, "token": token}
    if not Gallery.objects.filter(pk=1).update(**raised):
        Gallery.objects.bulk_create([Gallery(pk=1)], ignore_conflicts=True)
        Gallery.objects.filter(pk=1).update(**raised)
    number = revision()[0]
    # A gallery row that was lost counts from the start again, over what was written of its numbers before.
    Touched.objects.bulk_create(
        [Touched(revision=number, token=token, subjects=None if subject_ids is None else sorted(set(subject_ids)))],
        update_conflicts=True,
        unique_fields=["revision"],
        update_fields=["token", "subjects"],
    )
    if number % TIDIED == 0:
        Touched.objects.filter(revision__lt=number - KEPT).delete()
    return number


def narrow(number: int, subject_ids: Iterable[int]) -> None:
    """Says that this raise, of the same transaction, touched these subjects only (or nobody)."""
    Touched.objects.filter(revision=number).update(subjects=sorted(set(subject_ids)))


def touched(since: Revision, until: Revision) -> set[int] | None:
    """Whom the raises after ``since`` touched, up to ``until``; None where it could be anybody.

    Each raise has its row, and the row of ``since`` must bear its token: one that was rolled back has none.
    """
    if not since[0] <= until[0] <= since[0] + KEPT:
        return None
    wanted = range(since[0], until[0] + 1)
    rows = Touched.objects.filter(revision__range=(wanted[0], wanted[-1])).values_list("revision", "token", "subjects")
    found: dict[int, tuple[uuid.UUID | None, list[int] | None]] = {
        number: (token, subjects) for number, token, subjects in rows
    }
    found.setdefault(0, (None, None))  # before the first raise
    if not found.keys() >= set(wanted) or (found[wanted[0]][0], found[wanted[-1]][0]) != (since[1], until[1]):
        return None
    named = [found[number][1] for number in wanted[1:]]
    return None if None in named else {subject_id for some in named for subject_id in some or ()}


@kept
def _revision(using: str) -> QuerySet[Any]:
    return Gallery.objects.using(using).filter(pk=1).values_list("revision", "token")
