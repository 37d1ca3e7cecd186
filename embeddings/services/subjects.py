"""Characters and artists: enrolled, changed, withdrawn."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.db import IntegrityError, transaction

from booru_ml.errors import InvalidInput, NotFound, StaleState
from embeddings import gallery
from embeddings.models import Subject, Support
from embeddings.services.references import boxes, category_of, clean_name, speaking
from embeddings.types import SupportRef


@transaction.atomic
def enrol(*, name: str, category: str = "character", posts: Sequence[SupportRef], actor: Any) -> Subject:
    """Makes a subject known by these pictures, or adds them to the one of that name.

    A picture that is not analysed yet counts from the moment it is. Raises ``InvalidInput`` and ``NotFound``.
    """
    if not posts:
        raise InvalidInput("Give at least one post that shows the subject.")
    subject, _ = Subject.objects.get_or_create(
        name=clean_name(name), category=category_of(category), defaults={"created_by": actor}
    )
    _add(subject, posts, actor=actor)
    return subject


@transaction.atomic
def add_support(
    *, subject_id: int, posts: Sequence[SupportRef], positive: bool = True, actor: Any
) -> tuple[Support, ...]:
    """Adds pictures that show the subject (or, not ``positive``, that do not); returns the new rows.

    A picture that stands there already takes the new sign. Raises ``InvalidInput`` and ``NotFound``.
    """
    return _add(_subject(subject_id), posts, actor=actor, positive=positive)


@transaction.atomic
def remove_support(*, support_id: int) -> None:
    """Raises ``NotFound`` where somebody else was faster."""
    if not Support.objects.filter(pk=support_id).delete()[0]:
        raise NotFound("This support picture is gone already.")
    gallery.bump()


@transaction.atomic
def rename(*, subject_id: int, name: str) -> Subject:
    """Raises ``StaleState`` where another subject of the category bears the name."""
    new = clean_name(name)
    try:
        with transaction.atomic():
            changed = Subject.objects.filter(pk=subject_id).update(name=new)
    except IntegrityError:
        raise StaleState(f"Another subject is called {new} already.", code="name_taken") from None
    if not changed:
        raise NotFound("There is no such character or artist.")
    gallery.bump()
    return _subject(subject_id)


@transaction.atomic
def set_enabled(*, subject_id: int, enabled: bool) -> Subject:
    """A disabled subject keeps its pictures but is not compared with new ones."""
    if not Subject.objects.filter(pk=subject_id).update(enabled=enabled):
        raise NotFound("There is no such character or artist.")
    gallery.bump()
    return _subject(subject_id)


@transaction.atomic
def change(*, subject_id: int, name: str | None = None, enabled: bool | None = None) -> Subject:
    """``rename`` and ``set_enabled`` in one; what is None stays. Raises as they do."""
    if name is not None:
        rename(subject_id=subject_id, name=name)
    if enabled is not None:
        set_enabled(subject_id=subject_id, enabled=enabled)
    return _subject(subject_id)


@transaction.atomic
def withdraw(*, subject_id: int) -> None:
    """Forgets a subject and its supports; tags on posts stay. Raises ``NotFound``."""
    if not Subject.objects.filter(pk=subject_id).delete()[0]:
        raise NotFound("There is no such character or artist.")
    gallery.bump()


def _subject(subject_id: int) -> Subject:
    try:
        return Subject.objects.get(pk=subject_id)
    except Subject.DoesNotExist:
        raise NotFound("There is no such character or artist.") from None


def _add(subject: Subject, posts: Sequence[SupportRef], *, actor: Any, positive: bool = True) -> tuple[Support, ...]:
    wanted = speaking(posts, category=subject.category)
    places = boxes(wanted)
    known = {
        SupportRef(row.post_id, row.kind, row.number): row
        for row in subject.supports.filter(post_id__in={item.post_id for item in wanted})
    }
    again = [known[item].pk for item in wanted if item in known]
    Support.objects.filter(pk__in=again).update(positive=positive, learned=False, added_by=actor)
    fresh = [item for item in wanted if item not in known]
    Support.objects.bulk_create(
        [
            Support(
                subject=subject,
                post_id=item.post_id,
                kind=item.kind,
                number=item.number,
                box=places.get(item),
                positive=positive,
                added_by=actor,
            )
            for item in fresh
        ],
        ignore_conflicts=True,
    )
    gallery.bump()
    rows = subject.supports.filter(post_id__in={item.post_id for item in fresh}).order_by("id")
    return tuple(row for row in rows if SupportRef(row.post_id, row.kind, row.number) in fresh)
