"""Statements that every batch makes: the ORM puts their SQL together once, for that takes longer than to answer them.

::

    @kept
    def _due(using: str, limit: int) -> QuerySet[Job]:
        return Job.objects.using(using).filter(post=slot(Job, "post"))[:limit]

    rows = _due(using, 16).rows(post=12)

The function is called once for each database and each set of its own arguments. What differs from time to time is left
open by ``slot`` and given by name, as the field of that name takes it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any, Concatenate, ParamSpec, cast

from django.db import connections
from django.db.models import Model, QuerySet
from django.db.models.expressions import RawSQL
from django.db.models.sql import UpdateQuery

P = ParamSpec("P")


@dataclass(frozen=True, slots=True)
class _Open:
    """A value that is not known yet, among the parameters of a statement."""

    field: Any


@dataclass(frozen=True, slots=True)
class Statement:
    """SQL of the ORM's making, and its parameters."""

    using: str
    sql: str
    params: tuple[Any, ...]

    def rows(self, **values: Any) -> list[tuple[Any, ...]]:
        """What it selects, as the driver gives it."""
        with connections[self.using].cursor() as cursor:
            cursor.execute(self.sql, self.bound(values))
            return list(cursor.fetchall())

    def run(self, **values: Any) -> int:
        """How many rows it changed."""
        with connections[self.using].cursor() as cursor:
            cursor.execute(self.sql, self.bound(values))
            return int(cursor.rowcount)

    def run_each(self, values: Sequence[Mapping[str, Any]]) -> None:
        """Once with each of ``values``, in one round trip where the driver can."""
        if len(values) == 1:
            self.run(**values[0])
            return
        with connections[self.using].cursor() as cursor:
            cursor.executemany(self.sql, [self.bound(item) for item in values])

    def bound(self, values: Mapping[str, Any]) -> tuple[Any, ...]:
        """The parameters with ``values`` in their slots. Raises ``KeyError`` for a slot without a value."""
        connection = connections[self.using]
        return tuple(
            param.field.get_db_prep_save(values[param.field.name], connection) if isinstance(param, _Open) else param
            for param in self.params
        )


def slot(model: type[Model], name: str) -> RawSQL:
    """The place of a value of this field."""
    field: Any = model._meta.get_field(name)
    return RawSQL("%s", [_Open(field)], output_field=field)


def update(rows: QuerySet[Any], **values: Any) -> UpdateQuery:
    """What ``rows.update(**values)`` would execute."""
    query: Any = rows.query.chain(UpdateQuery)
    query.add_update_values(values)
    return cast(UpdateQuery, query)


def prepared(made: QuerySet[Any] | UpdateQuery, using: str = "") -> Statement:
    """What ``made`` would execute, ready to be executed often."""
    query, using = (made.query, using or made.db) if isinstance(made, QuerySet) else (made, using)
    sql, params = query.get_compiler(using).as_sql()
    return Statement(using, sql, tuple(params))


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
    build: Callable[Concatenate[str, P], QuerySet[Any] | UpdateQuery | Statement],
) -> Callable[Concatenate[str, P], Statement]:
    """Calls ``build(using, …)`` for a statement that was not asked for before."""

    def statement(using: str, *args: P.args, **kwargs: P.kwargs) -> Statement:
        made = build(using, *args, **kwargs)
        return made if isinstance(made, Statement) else prepared(made, using)

    return cast(Callable[Concatenate[str, P], Statement], cache(statement))
