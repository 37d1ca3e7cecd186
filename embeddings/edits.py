"""Rows of the gallery as JSON, what differs between two looks at them, and putting back what was there.

A delta maps ``subjects`` and ``supports`` to lists of ``[before, after]``; a row's columns, or None where
it was not there.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, cast

from django.apps import apps
from django.contrib.auth import get_user_model
from django.db import models

from booru_ml.conf import post_model
from booru_ml.errors import StaleState
from embeddings.models import Subject, Support

Row = dict[str, Any]
Edit = Sequence[Row | None]
Delta = dict[str, list[Edit]]
PEOPLE = ("created_by_id", "added_by_id")
FIRST = "Take that back first; the history shows it."


def plain(row: Subject | Support) -> Row:
    """A row's columns as JSON takes them."""
    return {item.attname: _plain(getattr(row, item.attname)) for item in row._meta.concrete_fields}


def look(subject_ids: Iterable[int]) -> dict[tuple[str, int], Row]:
    """The rows of these subjects, their supports included."""
    ids = list(subject_ids)
    subjects = {("subjects", row.pk): plain(row) for row in Subject.objects.filter(pk__in=ids)}
    return subjects | {("supports", row.pk): plain(row) for row in Support.objects.filter(subject_id__in=ids)}


def difference(before: Mapping[tuple[str, int], Row], after: Mapping[tuple[str, int], Row]) -> Delta:
    delta: Delta = {}
    for key in sorted(before.keys() | after.keys()):
        if before.get(key) != after.get(key):
            delta.setdefault(key[0], []).append([before.get(key), after.get(key)])
    return delta


def concerned(delta: Mapping[str, Sequence[Edit]]) -> set[int]:
    """The ids of the subjects whose rows these are, or whose supports."""
    columns = {"subjects": "id", "supports": "subject_id"}
    return {row[name] for kind, name in columns.items() for edit in delta.get(kind, ()) for row in edit if row}


def revert(delta: Mapping[str, Sequence[Edit]]) -> Delta:
    """Makes every row what it was before; returns what that really changed.

    A support whose post is gone from the board stays gone. Raises ``StaleState`` where a later change stands in the
    way, and Django's ``IntegrityError`` where another row has taken the place of one that comes back.
    """
    subjects = [(after, before) for before, after in delta.get("subjects", ())]
    supports = [(after, before) for before, after in delta.get("supports", ())]
    posts = _present(apps.get_model(post_model()), {(now or then or {})["post_id"] for now, then in supports})
    supports = [(now, then) for now, then in supports if str((now or then or {})["post_id"]) in posts]
    for now, _ in subjects:
        _expect(Subject, now)
    for now, _ in supports:
        _expect(Support, now)
    rows = [row for pair in (*subjects, *supports) for row in pair if row]
    users = _present(get_user_model(), {row[name] for row in rows for name in PEOPLE if row.get(name) is not None})

    for _, then in subjects:
        _put(Subject, then, users)
    homes = set(
        Subject.objects.values_list("pk", flat=True).filter(pk__in=[then["subject_id"] for _, then in supports if then])
    )
    if lost := next((then for _, then in supports if then and then["subject_id"] not in homes), None):
        raise StaleState(f"Whom the picture of post {lost['post_id']} belonged to was withdrawn since. {FIRST}")
    # Whatever leaves its place goes first, so that what comes back finds it free.
    Support.objects.filter(pk__in=[now["id"] for now, _ in supports if now]).delete()
    for _, then in supports:
        _put(Support, then, users)
    for now, then in subjects:
        if now and not then:
            _leave(now)
    return {
        kind: [list(pair) for pair in pairs]
        for kind, pairs in (("subjects", subjects), ("supports", supports))
        if pairs
    }


def _expect(model: type[Subject | Support], now: Row | None) -> None:
    """The row still is as the change left it. Who is gone from the users' table is no difference."""
    if now is None:
        return
    row = model._default_manager.filter(pk=now["id"]).first()
    there = plain(row) if row else {}
    differing = {name for name in now if there.get(name, ...) != now[name]}
    if row is None or differing - {name for name in PEOPLE if there.get(name) is None}:
        what = f"“{now['name']}”" if "name" in now else f"The picture of post {now['post_id']}"
        raise StaleState(f"{what} was {'changed' if row else 'removed'} since. {FIRST}")


def _leave(row: Row) -> None:
    if Support.objects.filter(subject_id=row["id"]).exists():
        raise StaleState(f"“{row['name']}” was given further pictures since. {FIRST}")
    Subject.objects.filter(pk=row["id"]).delete()


def _put(model: type[Subject | Support], row: Row | None, users: set[str]) -> None:
    if row is None:
        return
    fields = {item.attname: item for item in model._meta.concrete_fields}
    values = {name: _value(fields[name], value) for name, value in row.items() if name in fields}
    for name in PEOPLE:
        if values.get(name) is not None and str(values[name]) not in users:
            values[name] = None
    model._default_manager.update_or_create(pk=values.pop("id"), defaults=values)


def _value(item: Any, value: Any) -> Any:
    while item.remote_field:
        item = item.target_field
    return item.to_python(value) if value is not None else None


def _present(model: type[models.Model], keys: Iterable[Any]) -> set[str]:
    """Which of these keys exist, as text: JSON keeps a UUID as such."""
    found = cast(Any, model)._base_manager.filter(pk__in=list(keys)).values_list("pk", flat=True)
    return {str(key) for key in found}


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    return value if value is None or isinstance(value, bool | int | float | str | dict) else str(value)
