"""Every change of the gallery is written down with the rows that it changed, and can be taken back.

A verb runs inside ``recorded``: the rows of its subjects are read before and after it, and what differs is its delta.
Raising the gallery's revision comes first, since that row's lock puts all changes in one order.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from django.db import IntegrityError, transaction

from booru_ml.errors import NotFound, StaleState
from embeddings import revisions
from embeddings.edits import FIRST, Delta, concerned, difference, look, revert
from embeddings.models import Change, Subject
from embeddings.services.references import bearer


@dataclass(slots=True)
class Record:
    """A change on its way: ``subject_ids`` and ``about`` (whom the history names) may be set by the verb inside."""

    subject_ids: set[int]
    about: Subject | None = None


@contextmanager
def recorded(verb: str, *, subject_ids: Iterable[int] = (), actor: Any) -> Iterator[Record]:
    """Writes down what the block changes of these subjects. A block that changes nothing leaves no trace."""
    with transaction.atomic():
        revision = revisions.bump()
        record = Record(set(subject_ids))
        before = look(record.subject_ids)
        record.about = Subject.objects.filter(pk__in=record.subject_ids).order_by("pk").first()
        yield record
        revisions.narrow(revision, record.subject_ids)
        delta = difference(before, look(record.subject_ids))
        if delta and record.about:
            note(verb, record.about, delta, actor=actor, revision=revision)


def note(verb: str, about: Subject, delta: Delta, *, actor: Any, revision: int, undoes: Change | None = None) -> Change:
    """Writes a row of the history for a delta that is known already."""
    return Change.objects.create(
        verb=verb,
        subject_id=about.pk,
        other_id=next(iter(concerned(delta) - {about.pk}), None),
        name=about.name,
        category=about.category,
        actor=actor,
        delta=delta,
        revision=revision,
        undoes=undoes,
    )


@transaction.atomic
def undo(*, change_id: int, actor: Any) -> Change:
    """Takes a change back: every row that it touched becomes what it was. An undo can be undone, too.

    Raises ``NotFound``, and ``StaleState`` where it was taken back already or a later change stands in the way.
    """
    revision = revisions.bump()
    change = Change.objects.select_related("undone_by__actor").filter(pk=change_id).first()
    if change is None:
        raise NotFound("There is no such change.")
    if hasattr(change, "undone_by"):
        who = change.undone_by.actor
        raise StaleState(f"This was taken back already{f' by {who.get_username()}' if who else ''}.")
    taken = StaleState(f"Its name was given to another, or a picture was added again since. {FIRST}")
    try:
        with transaction.atomic():
            delta = revert(change.delta)
            if _two_of_a_name(delta):
                raise taken
    except IntegrityError:
        raise taken from None
    revisions.narrow(revision, concerned(change.delta))
    about = Subject(pk=change.subject_id, name=change.name, category=change.category)
    return note(Change.Verb.UNDO, about, delta, actor=actor, revision=revision, undoes=change)


def _two_of_a_name(delta: Delta) -> bool:
    """Whether a name that comes back is another's in another case, which the database's constraint does not see."""
    back = [then for now, then in delta.get("subjects", ()) if then and (now is None or now["name"] != then["name"])]
    return any(bearer(row["name"], row["category"], but=row["id"]) for row in back)
