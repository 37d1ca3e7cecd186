"""Characters and artists: enrolled, changed, withdrawn. Each verb leaves a row in the history that can be undone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from django.db import transaction

from booru_ml.errors import InvalidInput, NotFound, StaleState
from embeddings.models import Change, Subject, Support
from embeddings.services.history import recorded
from embeddings.services.references import bearer, boxes, category_of, clean_name, named, speaking
from embeddings.types import SupportRef

Verb = Change.Verb


@transaction.atomic
def enrol(
    *, name: str, category: str = "character", posts: Sequence[SupportRef], actor: Any, enabled: bool | None = None
) -> Subject:
    """Makes a subject known by these pictures, or adds them to the one of that name.

    A picture that is not analysed yet counts from the moment it is. A new subject is enabled unless ``enabled`` says
    otherwise. Raises ``InvalidInput`` and ``NotFound``.
    """
    if not posts:
        raise InvalidInput("Give at least one post that shows the subject.")
    with recorded(Verb.ENROL, actor=actor) as record:
        kind = category_of(category)
        known = named(name, kind)
        subject = known or Subject.objects.create(
            name=clean_name(name), category=kind, created_by=actor, enabled=enabled is not False
        )
        if known is None:
            record.subject_ids.add(subject.pk)
            record.about = subject
            _add(subject, posts, actor=actor)
    if known is not None:
        add_support(subject_id=subject.pk, posts=posts, actor=actor)
        if enabled is not None and enabled != subject.enabled:
            set_enabled(subject_id=subject.pk, enabled=enabled, actor=actor)
    subject.refresh_from_db()
    return subject


def add_support(
    *, subject_id: int, posts: Sequence[SupportRef], positive: bool = True, actor: Any
) -> tuple[Support, ...]:
    """Adds pictures that show the subject (or, not ``positive``, that do not); returns the new rows.

    A picture that stands there already takes the new sign. Raises ``InvalidInput`` and ``NotFound``.
    """
    with recorded(Verb.ADD_SUPPORT, subject_ids=[subject_id], actor=actor):
        return _add(find(subject_id), posts, actor=actor, positive=positive)


def remove_support(*, support_id: int, actor: Any = None) -> None:
    """Raises ``NotFound`` where somebody else was faster."""
    row = Support.objects.filter(pk=support_id).first()
    if row is None:
        raise NotFound("This support picture is gone already.")
    with recorded(Verb.REMOVE_SUPPORT, subject_ids=[row.subject_id], actor=actor):
        if not Support.objects.filter(pk=support_id).delete()[0]:
            raise NotFound("This support picture is gone already.")


def set_enabled(*, subject_id: int, enabled: bool, actor: Any = None) -> Subject:
    """A disabled subject keeps its pictures but is not compared with new ones."""
    return change(subject_id=subject_id, enabled=enabled, actor=actor)


def change(*, subject_id: int, name: str | None = None, enabled: bool | None = None, actor: Any = None) -> Subject:
    """Renames, enables or disables; what is None stays. Raises ``NotFound``, and ``StaleState`` for a taken name."""
    wanted: dict[str, Any] = {} if name is None else {"name": clean_name(name)}
    wanted |= {} if enabled is None else {"enabled": enabled}
    with recorded(Verb.CHANGE, subject_ids=[subject_id], actor=actor):
        subject = find(subject_id)
        if name is not None and bearer(wanted["name"], subject.category, but=subject.pk):
            raise _taken(wanted["name"])
        if wanted:
            Subject.objects.filter(pk=subject_id).update(**wanted)
    return find(subject_id)


def merge(*, subject_id: int, into_id: int, actor: Any) -> Subject:
    """Gives a subject's pictures to another of its category and forgets the rest of it; returns that other.

    Where both know a picture, the one that shows them wins: "not A" was said of it because it is B. Raises
    ``InvalidInput`` and ``NotFound``.
    """
    if subject_id == into_id:
        raise InvalidInput("A character cannot be merged into itself; choose another.", field="into")
    with recorded(Verb.MERGE, subject_ids=[subject_id, into_id], actor=actor) as record:
        source, target = find(subject_id), find(into_id)
        if source.category != target.category:
            raise InvalidInput(f"{source} is {source.category}, {target} is {target.category}.", field="into")
        record.about = target
        known = {row.ref: row for row in target.supports.all()}
        for row in source.supports.all():
            same = known.get(row.ref)
            if same is not None and (same.positive or not row.positive):
                row.delete()
                continue
            if same is not None:
                same.delete()
            Support.objects.filter(pk=row.pk).update(subject=target)
        source.delete()
    return target


def split(*, subject_id: int, support_ids: Sequence[int], name: str, actor: Any) -> Subject:
    """Moves some of the pictures that show a subject to a new one of this name; returns the new one.

    Raises ``InvalidInput``, ``NotFound``, and ``StaleState`` where the name is taken or a picture is gone by now.
    """
    new_name, wanted = clean_name(name), set(support_ids)
    if not wanted:
        raise InvalidInput("Choose the pictures that show the other one.", field="supports")
    with recorded(Verb.SPLIT, subject_ids=[subject_id], actor=actor) as record:
        source = find(subject_id)
        shown = set(source.supports.filter(positive=True).values_list("pk", flat=True))
        if not wanted <= shown:
            raise StaleState(f"Some of these pictures do not show {source} any more; look again.")
        if wanted == shown:
            raise InvalidInput(f"That would leave nothing of {source}; rename it instead.", field="supports")
        if named(new_name, source.category):
            raise _taken(new_name)
        made = Subject.objects.create(name=new_name, category=source.category, enabled=source.enabled, created_by=actor)
        record.subject_ids.add(made.pk)
        Support.objects.filter(pk__in=wanted).update(subject=made)
    made.refresh_from_db()
    return made


def withdraw(*, subject_id: int, actor: Any = None) -> None:
    """Forgets a subject and its supports; tags on posts stay. Raises ``NotFound``."""
    with recorded(Verb.WITHDRAW, subject_ids=[subject_id], actor=actor):
        if not Subject.objects.filter(pk=subject_id).delete()[0]:
            raise _gone()


def find(subject_id: int) -> Subject:
    """Raises ``NotFound``."""
    try:
        return Subject.objects.get(pk=subject_id)
    except Subject.DoesNotExist:
        raise _gone() from None


def _gone() -> NotFound:
    return NotFound("There is no such character or artist.")


def _taken(name: str) -> StaleState:
    return StaleState(f"Another subject is called {name} already.", code="name_taken")


def _add(subject: Subject, posts: Sequence[SupportRef], *, actor: Any, positive: bool = True) -> tuple[Support, ...]:
    wanted = speaking(posts, category=subject.category)
    places = boxes(wanted)
    known = {row.ref: row for row in subject.supports.filter(post_id__in={item.post_id for item in wanted})}
    again = [known[item].pk for item in wanted if item in known]
    Support.objects.filter(pk__in=again).exclude(positive=positive, learned=False).update(
        positive=positive, learned=False, weight=1.0, added_by=actor
    )
    fresh = [item for item in wanted if item not in known]
    Support.objects.bulk_create(
        [
            Support(subject=subject, **asdict(item), box=places.get(item), positive=positive, added_by=actor)
            for item in fresh
        ],
        ignore_conflicts=True,
    )
    rows = subject.supports.filter(post_id__in={item.post_id for item in fresh}).order_by("id")
    return tuple(row for row in rows if row.ref in fresh)
