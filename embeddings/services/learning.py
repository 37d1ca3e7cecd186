"""What a decision on a suggestion teaches the gallery, and taking it back."""

from __future__ import annotations

from typing import Any

from django.db import transaction

from embeddings import revisions
from embeddings.edits import Delta, plain
from embeddings.models import Change, Subject, Support, Vector
from embeddings.services.history import note
from embeddings.services.references import boxes
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
    subject = Subject.objects.filter(name=name, category=category).first()
    if subject is None:
        return None
    kind = Vector.Kind.STYLE if category == Subject.Category.ARTIST else Vector.Kind.PICTURE
    if face is not None and positive and kind == Vector.Kind.PICTURE:
        kind = Vector.Kind.FACE
    number = face if face is not None and kind == Vector.Kind.FACE else 0
    if subject.supports.filter(learned=True, positive=positive).count() >= LEARNED:
        return None
    place = SupportRef(post_id, kind.value, number)
    support, new = Support.objects.get_or_create(
        subject=subject,
        post_id=post_id,
        kind=kind,
        number=number,
        defaults={
            "positive": positive,
            "learned": True,
            "weight": weight,
            "added_by": actor,
            "box": boxes([place]).get(place),
        },
    )
    if not new:
        return None
    support.refresh_from_db()
    delta: Delta = {"supports": [[None, plain(support)]]}
    note(Change.Verb.LEARN, subject, delta, actor=actor, revision=revisions.bump([subject.pk]))
    return int(support.pk)


@transaction.atomic
def unlearn(*, support_id: int, actor: Any = None) -> bool:
    """Takes back what ``learn`` added; False where it is gone already."""
    row = Support.objects.select_related("subject").filter(pk=support_id, learned=True).first()
    if row is None or not Support.objects.filter(pk=support_id, learned=True).delete()[0]:
        return False
    delta: Delta = {"supports": [[plain(row), None]]}
    note(Change.Verb.UNLEARN, row.subject, delta, actor=actor, revision=revisions.bump([row.subject_id]))
    return True
