"""Statements that every batch makes: the ORM puts their SQL together once, for that takes longer than to answer them.

::

    @kept
    def _due(using: str, limit: int) -> QuerySet[Job]:
        return Job.objects.using(using).filter(post=slot(Job, "post"))[:limit]

    rows = _due(using, 16).rows(post=12)

The function is called once for each database and each set of its own arguments. What differs from time to time is left
open by ``slot`` and given by name, as the field of that name takes it. ``slots`` takes a list of any length, behind the
``__in`` of a filter (not of an exclusion: an empty list is written as a NULL).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, replace
from functools import cache
from typing import Any, Concatenate, ParamSpec, cast

from django.db import connections
from django.db.models import Model, QuerySet
from django.db.models.constants import OnConflict
from django.db.models.expressions import Expression
from django.db.models.signals import post_migrate
from django.db.models.sql import InsertQuery, UpdateQuery

P = ParamSpec("P")


class Slot(Expression):
    """The place of what differs from time to time. Among the parameters of a statement it stands for itself."""

    def __init__(self, field: Any, name: str, several: bool) -> None:
        super().__init__(output_field=field)
        self.name, self.several = name, several

    def as_sql(self, compiler: Any, connection: Any) -> Any:
        return "%s", [self]

    def filled(self, values: Mapping[str, Any], connection: Any) -> tuple[str, list[Any]]:
        """SQL and parameters of what ``values`` has for it. Raises ``KeyError`` where that is nothing."""
        given: Iterable[Any] = values[self.name] if self.several else [values[self.name]]
        params = [self.output_field.get_db_prep_save(value, connection) for value in given]
        return ", ".join(["%s"] * len(params)) or "NULL", params


def slot(model: type[Model], field: str, name: str = "") -> Slot:
    """The place of a value of this field, by its own ``name`` where the field has two."""
    return Slot(model._meta.get_field(field), name or field, several=False)


def slots(model: type[Model], field: str) -> Any:
    """The place of a list of values of this field."""
    return Slot(model._meta.get_field(field), field, several=True)


@dataclass(frozen=True, slots=True)
class Statement:
    """SQL of the ORM's making, and its parameters."""

    using: str
    made: Any
    compiler: Any
    """Reads the rows, once it is given a connection."""
    sql: str
    params: tuple[Any, ...]

    def rows(self, **values: Any) -> list[Any]:
        """What the queryset would give."""
        compiler, rows, bound = copy(self.compiler), self.made.all(), self.bound(values)
        compiler.connection, compiler.as_sql = connections[self.using], lambda: bound
        rows.query.get_compiler = lambda *_, **__: compiler
        return list(rows)

    def run(self, **values: Any) -> int:
        """How many rows it changed."""
        with connections[self.using].cursor() as cursor:
            cursor.execute(*self.bound(values))
            return int(cursor.rowcount)

    def run_each(self, values: Sequence[Mapping[str, Any]]) -> None:
        """Once with each of ``values``, in one round trip where the driver can."""
        if len(values) == 1:
            self.run(**values[0])
        elif values:
            with connections[self.using].cursor() as cursor:
                cursor.executemany(self.sql, [self.bound(item)[1] for item in values])

    def bound(self, values: Mapping[str, Any]) -> tuple[str, list[Any]]:
        """SQL and parameters with ``values`` in their slots."""
        connection = connections[self.using]
        places, params = [], []
        for param in self.params:
            place, found = param.filled(values, connection) if isinstance(param, Slot) else ("%s", [param])
            places.append(place)
            params += found
        return self.sql.replace("%%", "%%%%") % tuple(places), params


def update(rows: QuerySet[Any], **values: Any) -> UpdateQuery:
    """What ``rows.update(**values)`` would execute."""
    query: Any = rows.query.chain(UpdateQuery)
    query.add_update_values(values)
    return cast(UpdateQuery, query)


def insert(
    model: type[Model], *given: str, unique_fields: Sequence[str] = (), update_fields: Sequence[str] = ()
) -> InsertQuery:
    """What ``bulk_create`` of one row would execute, with values as ``vars`` of an instance has them.

    What the database has a default for is left to it, but for ``given``. A row that is there already takes over
    ``update_fields``, if any.
    """
    meta: Any = model._meta
    query = InsertQuery(
        model,
        on_conflict=OnConflict.UPDATE if update_fields else OnConflict.IGNORE,
        unique_fields=[meta.get_field(name) for name in unique_fields],
        update_fields=[meta.get_field(name) for name in update_fields],
    )
    fields = [field for field in meta.concrete_fields if not field.primary_key]
    slotted = [field for field in fields if field.name in given or not field.has_db_default()]
    query.insert_values(fields, [model(**{field.attname: slot(model, field.name, field.attname) for field in slotted})])
    return query


def prepared(made: QuerySet[Any] | UpdateQuery | InsertQuery, using: str = "") -> Statement:
    """What ``made`` would execute, ready to be executed often."""
    query, using = (made.query, using or made.db) if isinstance(made, QuerySet) else (made, using)
    compiler = query.get_compiler(using)
    sql, params = compiler.as_sql()[0] if isinstance(query, InsertQuery) else compiler.as_sql()
    compiler.connection = None  # it is this thread's own
    return Statement(using, made, compiler, sql, tuple(params))


def by_index(rows: QuerySet[Any], name: str) -> Statement:
    """What ``rows`` would execute, by the index of this name: without statistics SQLite prefers any that compares a
    value to the one that has the order, and sorts all that waits for every batch."""
    made = prepared(rows)
    if connections[made.using].vendor != "sqlite":
        return made
    quote = connections[made.using].ops.quote_name
    table = f"FROM {quote(rows.model._meta.db_table)}"
    return replace(made, sql=made.sql.replace(table, f"{table} INDEXED BY {quote(name)}", 1))


def kept(
    build: Callable[Concatenate[str, P], QuerySet[Any] | UpdateQuery | InsertQuery | Statement],
) -> Callable[Concatenate[str, P], Statement]:
    """Calls ``build(using, …)`` for a statement that was not asked for before."""

    def statement(using: str, *args: P.args, **kwargs: P.kwargs) -> Statement:
        made = build(using, *args, **kwargs)
        return made if isinstance(made, Statement) else prepared(made, using)

    made = cache(statement)
    # SQL may hold what the ORM looked up for it: that of a relation of django-taggit has the id of a content type.
    post_migrate.connect(lambda **_: made.cache_clear(), weak=False)
    return cast(Callable[Concatenate[str, P], Statement], made)
