"""How far a reader of ``Vector`` rows has come.

PostgreSQL: every row carries the number of the transaction that wrote it. ``pg_snapshot_xmin`` is the lowest number
still under way, so whatever is invisible now was or will be written under that number or a higher one: asking next time
for stamps from there on finds it, in whatever order transactions commit. SQLite has one writer at a time and never
reuses an id that was committed: ids beyond the last one seen are all there is. A row is never changed in place there.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.db import connections
from django.db.models import Q, QuerySet

from booru_ml.statements import kept
from embeddings.models import Vector

# A dump restored into another cluster brings stamps of a future there; far ones are no news.
_FUTURE = 1 << 20


@dataclass(frozen=True, slots=True)
class Mark:
    """How far a reader has come: rows that fulfil ``news(before, now)`` are all it may have missed since ``before``."""

    vendor: str
    low: int
    high: int

    @classmethod
    def now(cls, using: str) -> Mark:
        """Where the database stands; take it before reading the rows."""
        connection = connections[using]
        if connection.vendor == "postgresql":
            with connection.cursor() as cursor:
                cursor.execute(
                    "SELECT pg_snapshot_xmin(s)::text::bigint, pg_snapshot_xmax(s)::text::bigint"
                    " FROM pg_current_snapshot() AS s"
                )
                low, high = cursor.fetchone()
            return cls("postgresql", low, high)
        last = max(_last(using).rows(), default=0)
        return cls(connection.vendor, last, last)

    def repeats(self, stamp: int) -> bool:
        """Whether the next delta brings a row of this stamp again."""
        return self.vendor == "postgresql" and stamp >= self.low

    def is_after(self, now: Mark) -> bool:
        """Whether it was taken in a future of this database, which was restored since, or in another one."""
        return self.vendor != now.vendor or (self.vendor == "postgresql" and self.high > now.high)

    def news(self, now: Mark) -> Q:
        return between(self.vendor, **self.bounds(now))

    def bounds(self, now: Mark) -> dict[str, int]:
        """What ``between`` asks for."""
        return {"low": self.low, "high": now.high + _FUTURE}


def between(vendor: str, low: Any, high: Any) -> Q:
    """The news between two marks."""
    return Q(stamp__gte=low, stamp__lt=high) if vendor == "postgresql" else Q(id__gt=low)


@kept
def _last(using: str) -> QuerySet[Any]:
    return Vector.objects.using(using).order_by("-id").values_list("id", flat=True)[:1]
