"""The search language: ``blue_eyes -hat rating:g,s status:any order:id user:ann id:>100 wildcards*``. Pure parsing."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from booru_ml.errors import InvalidInput

MAX_TERMS = 40
ORDERS = {
    "id": ("id",),
    "id_asc": ("id",),
    "id_desc": ("-id",),
    "none": ("-id",),
    "filesize": ("-file_size", "-id"),
    "filesize_asc": ("file_size", "id"),
    "mpixels": ("-pixels", "-id"),
    "mpixels_asc": ("pixels", "id"),
    "tagcount": ("-tag_count", "-id"),
    "tagcount_asc": ("tag_count", "id"),
    "change": ("-updated_at", "-id"),
    "change_asc": ("updated_at", "id"),
    "random": ("?",),
}
STATUSES = ("pending", "active", "flagged", "deleted", "any", "all", "modqueue")
RATINGS = ("g", "s", "q", "e")
NUMBERS = {"id": "id", "width": "width", "height": "height", "filesize": "file_size", "tagcount": "tag_count"}
_UNITS = {"": 1, "b": 1, "k": 2**10, "kb": 2**10, "m": 2**20, "mb": 2**20}
_NUMBER = re.compile(r"^(\d{1,15})([a-z]{0,2})$")


@dataclass(frozen=True, slots=True)
class Range:
    """Inclusive bounds, or a list of values."""

    low: int | None = None
    high: int | None = None
    values: tuple[int, ...] = ()


@dataclass(slots=True)
class Query:
    """A parsed search; names may hold the wildcard ``*``."""

    required: list[str] = field(default_factory=list)
    excluded: list[str] = field(default_factory=list)
    optional: list[str] = field(default_factory=list)
    ratings: list[frozenset[str]] = field(default_factory=list)
    not_ratings: list[frozenset[str]] = field(default_factory=list)
    statuses: list[str] = field(default_factory=list)
    not_statuses: list[str] = field(default_factory=list)
    users: list[str] = field(default_factory=list)
    not_users: list[str] = field(default_factory=list)
    digests: list[str] = field(default_factory=list)
    sources: list[str] = field(default_factory=list)
    not_sources: list[str] = field(default_factory=list)
    extensions: list[str] = field(default_factory=list)
    numbers: list[tuple[str, Range]] = field(default_factory=list)
    order: str = "id_desc"
    limit: int | None = None


def parse(text: str) -> Query:
    """Raises ``InvalidInput`` where a term cannot be meant."""
    words = text.split()
    if len(words) > MAX_TERMS:
        raise InvalidInput(
            f"A search takes at most {MAX_TERMS} terms; this one has {len(words)}.", code="too_many_terms"
        )
    query = Query()
    for word in words:
        negated = word.startswith("-") and len(word) > 1
        bare = word[1:] if negated else word
        prefix, colon, value = bare.partition(":")
        if colon and value and _metatag(query, prefix.lower(), value, negated):
            continue
        name = bare.lower()
        if negated:
            query.excluded.append(name)
        elif name.startswith("~") and len(name) > 1:
            query.optional.append(name[1:])
        else:
            query.required.append(name)
    return query


def _metatag(query: Query, prefix: str, value: str, negated: bool) -> bool:
    match prefix:
        case "rating":
            wanted = frozenset(part[:1] for part in value.lower().split(",") if part)
            if not wanted <= set(RATINGS):
                raise InvalidInput(f"rating:{value[:40]} is unknown; ratings are g, s, q and e.", code="rating")
            (query.not_ratings if negated else query.ratings).append(wanted)
        case "status":
            status = value.lower()
            if status not in STATUSES:
                raise InvalidInput(f"status:{value[:40]} is unknown; try {', '.join(STATUSES)}.", code="status")
            (query.not_statuses if negated else query.statuses).append(status)
        case "order":
            if value.lower() not in ORDERS:
                raise InvalidInput(f"order:{value[:40]} is unknown; try {', '.join(ORDERS)}.", code="order")
            query.order = value.lower()
        case "user":
            (query.not_users if negated else query.users).append(value)
        case "md5":
            query.digests.extend(value.lower().split(",")[:200])
        case "source":
            (query.not_sources if negated else query.sources).append(value.lower())
        case "filetype":
            query.extensions.append(value.lower())
        case "limit":
            query.limit = _number(value)
        case _ if prefix in NUMBERS:
            if negated:
                raise InvalidInput(f"-{prefix}: cannot be negated; turn the range round.", code="range")
            query.numbers.append((NUMBERS[prefix], _range(value)))
        case _:
            return False
    return True


def _range(value: str) -> Range:
    if "," in value:
        return Range(values=tuple(_number(part) for part in value.split(",")[:200] if part))
    for sign, low, high in ((">=", 0, None), ("<=", None, 0), (">", 1, None), ("<", None, -1)):
        if value.startswith(sign):
            bound = _number(value.removeprefix(sign))
            return Range(
                low=None if low is None else bound + low,
                high=None if high is None else bound + high,
            )
    first, dots, last = value.partition("..")
    if dots:
        return Range(low=_number(first) if first else None, high=_number(last) if last else None)
    return Range(values=(_number(value),))


def _number(text: str) -> int:
    match = _NUMBER.match(text.lower())
    if match is None or match[2] not in _UNITS:
        raise InvalidInput(f"“{text[:40]}” is no number; ranges look like 5, >5, 5..9 or 1,2,3.", code="range")
    number = int(match[1]) * _UNITS[match[2]]
    if number >= 2**63:
        raise InvalidInput(f"“{text[:40]}” is more than any database holds.", code="range")
    return number
