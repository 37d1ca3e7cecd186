"""What a decision on a suggestion teaches the gallery, and taking it back.

As every change of the gallery, both raise its revision before they touch a row: who waits for another's change waits
there, and holds nothing that the other needs. What was found before is looked at again behind that lock.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from django.db import transaction

from embeddings import revisions
from embeddings.edits import Delta, plain
from embeddings.models import Change, Subject, Support, Vector
from embeddings.services.history import note
from embeddings.services.references import boxes, named
from embeddings.types import SupportRef

LEARNED = 64
"""Supports of one sign that decisions may add to a subject; what people enrol is not counted."""


@transaction.atomic
def learn(
    *,
    post_id: Any,
    name: str,
    category: str,
    positive: bool,
    actor: Any,
    face: int | None = None,
    weight: float = 1.0,
) -> int | None:
    """Lets a decision on a suggestion teach the gallery: accepted pictures show the subject, rejected ones do not.

    ``weight`` (over 0, up to 1) says how far the actor is trusted. Returns the new support's id, which ``unlearn``
    takes back; None where there is nothing to learn: nobody enrolled by that name, the picture known already, or
    ``LEARNED`` of its sign reached. What people enrolled by hand is never overturned by a decision.
    """
    kind = Vector.Kind.STYLE if category == Subject.Category.ARTIST else Vector.Kind.PICTURE
    if face is not None and positive and kind == Vector.Kind.PICTURE:
        kind = Vector.Kind.FACE
    number = face if face is not None and kind == Vector.Kind.FACE else 0
    place = SupportRef(post_id, kind.value, number)
    if _pupil(name, category, place, positive=positive) is None:
        return None
    revision = revisions.bump()
    subject = _pupil(name, category, place, positive=positive)
    revisions.narrow(revision, [subject.pk] if subject else [])
    if subject is None:
        return None
    support = Support.objects.create(
        subject=subject,
        **asdict(place),
        box=boxes([place]).get(place),
        positive=positive,
        learned=True,
        weight=weight,
        added_by=actor,
    )
    support.refresh_from_db()
    delta: Delta = {"supports": [[None, plain(support)]]}
    note(Change.Verb.LEARN, subject, delta, actor=actor, revision=revision)
    return int(support.pk)


def _pupil(name: str, category: str, place: SupportRef, *, positive: bool) -> Subject | None:
    """Who bears the name, if it has anything to learn from this place as things stand."""
    subject = named(name, category)
    if subject is None or subject.supports.filter(learned=True, positive=positive).count() >= LEARNED:
        return None
    known = subject.supports.filter(post_id=place.post_id, kind=place.kind, number=place.number)
    return None if known.exists() else subject


@transaction.atomic
def unlearn(*, support_id: int, actor: Any = None) -> bool:
    """Takes back what ``learn`` added; False where it is gone already."""
    learned = Support.objects.select_related("subject").filter(pk=support_id, learned=True)
    if not learned.exists():
        return False
    revision = revisions.bump()
    row = learned.first()
    revisions.narrow(revision, [row.subject_id] if row else [])
    if row is None or not learned.delete()[0]:  # a post that goes takes its supports along
        return False
    delta: Delta = {"supports": [[plain(row), None]]}
    note(Change.Verb.UNLEARN, row.subject, delta, actor=actor, revision=revision)
    return True
