"""The ``BOORU_ML`` setting by itself: keys, types, ranges."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import fields
from difflib import get_close_matches
from importlib.util import find_spec
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.core.checks import CheckMessage, Error, Warning

from booru_ml.conf import Config, config, known_keys
from booru_ml.types import Category, Rating

STATUSES = ("pending", "active", "flagged", "deleted")
TAG_CATEGORIES = tuple(category.value for category in Category if category.is_tag)
SCHEMES = ("redis", "rediss", "sentinel", "redis+socket", "amqp", "amqps", "pyamqp", "sqs", "memory", "filesystem")
VECTOR_STORES = ("milvus+http", "milvus+https")
RATE = re.compile(r"[1-9]\d*/(s|sec|second|m|min|minute|h|hour|d|day)s?")

# The smallest sound value of each number.
LEAST: Mapping[str, float] = {
    "BATCH_SIZE": 1,
    "LEASE_SECONDS": 1,
    "MAX_ATTEMPTS": 1,
    "SETTLE_SECONDS": 0,
    "RECONCILE_SECONDS": 0.1,
    "MAX_WAITING_PER_UPLOADER": 0,
    "BACKFILL_WAITING": 1,
    "MAX_BYTES": 1,
    "MAX_PIXELS": 1,
    "MAX_SIDE": 1,
    "CANVAS_SIDE": 64,
    "DECODE_MEMORY": 64 * 2**20,
    "DECODE_CPU_SECONDS": 1,
    "DECODERS": 1,
    "THREADS": 1,
    "IDLE_SECONDS": 0,
    "SUGGESTIONS_PER_SUBJECT": 1,
    "QUERY_SECONDS": 1,
    "QUERY_BYTES": 1,
    "QUERIES_WAITING": 0,
    "CLAIM_SECONDS": 1,
    "PAGE_SIZE": 1,
    "MAX_PAGE_SIZE": 1,
    "NUM_PROXIES": 0,
}


def shape() -> list[CheckMessage]:
    """E001 and E002: without them nothing else can be read."""
    given = getattr(settings, "BOORU_ML", {})
    if not isinstance(given, Mapping):
        return [
            Error(
                "BOORU_ML is no dictionary.",
                hint='Write BOORU_ML = {"POST_MODEL": "board.Post", …}.',
                id="booru_ml.E001",
            )
        ]
    found: list[CheckMessage] = []
    for key in sorted(set(map(str, given)) - known_keys()):
        near = get_close_matches(key.upper(), known_keys(), n=1)
        hint = f"Did you mean {near[0]}?" if near else f"Known keys: {', '.join(sorted(known_keys()))}."
        found.append(Error(f"BOORU_ML has no key {key!r}.", hint=hint, id="booru_ml.E001"))
    for item in fields(Config):
        if item.name in given and not _right_type(str(item.type), given[item.name]):
            kind = str(item.type).split("[")[0].lower().replace("mapping", "dictionary")
            message = f"BOORU_ML[{item.name!r}] is {given[item.name]!r}, but must be of the kind {kind}."
            found.append(
                Error(message, hint="Correct the value, or leave the key out for the default.", id="booru_ml.E002")
            )
    return found


def ranges() -> Iterator[CheckMessage]:
    """E010 to E015, E035 and W001: values out of range."""
    known = config()
    for name, least in LEAST.items():
        if getattr(known, name) < least:
            yield Error(
                f"BOORU_ML[{name!r}] is {getattr(known, name)}, but must be at least {least:g}.",
                hint=f"The default is {getattr(Config, name)}.",
                id="booru_ml.E010",
            )
    if known.PAGE_SIZE > known.MAX_PAGE_SIZE:
        yield Error("BOORU_ML['PAGE_SIZE'] is above MAX_PAGE_SIZE.", hint="Raise MAX_PAGE_SIZE.", id="booru_ml.E010")
    yield from _thresholds(known)
    yield from _mappings(known)
    if _scheme(known.BROKER_URL) not in SCHEMES:
        yield Error(
            f"BOORU_ML['BROKER_URL'] is no broker's address: {_without_password(known.BROKER_URL)!r}.",
            hint="Write something like redis://127.0.0.1:6379/0.",
            id="booru_ml.E013",
        )
    yield from _vector_store(known.VECTOR_STORE)
    for scope, rate in known.THROTTLE_RATES.items():
        if scope not in ("user", "anon") or not isinstance(rate, str) or not RATE.fullmatch(rate):
            yield Error(
                f"BOORU_ML['THROTTLE_RATES'] has {scope!r}: {rate!r}.",
                hint='Keys are user and anon, rates look like "60/min".',
                id="booru_ml.E014",
            )
    if known.AUTO_APPLY and not known.AUTO_APPLY_THRESHOLDS:
        yield Warning(
            "AUTO_APPLY is on, but no category has a threshold, so nothing will be applied.",
            hint='Set BOORU_ML["AUTO_APPLY_THRESHOLDS"], such as {"character": 0.95}.',
            id="booru_ml.W001",
        )


def _thresholds(known: Config) -> Iterator[CheckMessage]:
    """E011: what is compared with a score."""
    said: list[tuple[str, Any, float]] = [
        ("UNKNOWN_BELOW", known.UNKNOWN_BELOW, 1.0),
        ("STRANGERS_NAMED", known.STRANGERS_NAMED, 1.0),
    ]
    for name, most in (
        ("AUTO_APPLY_THRESHOLDS", 1.0),
        ("TAG_THRESHOLDS", float("inf")),
        ("FLAG_THRESHOLDS", float("inf")),
    ):
        said += [(f"{name}[{key!r}]", value, most) for key, value in getattr(known, name).items()]
    for name, value, most in said:
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= most:
            yield Error(
                f"BOORU_ML {name} is {value!r}, but scores go from 0 to 1.",
                hint="Write a number such as 0.85.",
                id="booru_ml.E011",
            )
    yield from _unknown("AUTO_APPLY_THRESHOLDS", known.AUTO_APPLY_THRESHOLDS, TAG_CATEGORIES)
    categories = [str(key).partition(":")[0] for key in known.TAG_THRESHOLDS]
    yield from _unknown("TAG_THRESHOLDS", categories, [category.value for category in Category])


def _mappings(known: Config) -> Iterator[CheckMessage]:
    """E012: our words for the host's values."""
    yield from _unknown("TAG_CATEGORIES", known.TAG_CATEGORIES, TAG_CATEGORIES)
    yield from _unknown("RATINGS", known.RATINGS, [rating.value for rating in Rating])
    yield from _unknown("STATUSES", known.STATUSES, STATUSES)
    for name, needed in (("RATINGS", [rating.value for rating in Rating]), ("STATUSES", STATUSES)):
        if missing := [word for word in needed if word not in getattr(known, name)]:
            yield Error(
                f"BOORU_ML[{name!r}] says nothing for {', '.join(missing)}.",
                hint="Name the board's value for each; two of ours may share one of the board's.",
                id="booru_ml.E012",
            )


def _vector_store(address: str) -> Iterator[CheckMessage]:
    """E015 and E035: where vectors beyond one machine are."""
    if not address:
        return
    try:
        parts = urlsplit(address)
        sound = parts.scheme in VECTOR_STORES and bool(parts.hostname) and parts.port != 0
    except ValueError:
        sound = False
    if not sound:
        yield Error(
            f"BOORU_ML['VECTOR_STORE'] is no vector store's address: {_without_password(address)!r}.",
            hint="Write milvus+http://host:19530/database, or leave it empty for an index in each process.",
            id="booru_ml.E015",
        )
    elif find_spec("pymilvus") is None:
        yield Error(
            "BOORU_ML['VECTOR_STORE'] asks for Milvus, but pymilvus is not installed.",
            hint="pip install 'booru-ml[milvus]', or leave VECTOR_STORE empty.",
            id="booru_ml.E035",
        )


def _unknown(name: str, given: Iterable[Any], known: Iterable[str]) -> Iterator[CheckMessage]:
    known = list(known)
    for word in given:
        if word not in known:
            yield Error(f"BOORU_ML[{name!r}] has {word!r}.", hint=f"Known: {', '.join(known)}.", id="booru_ml.E012")


def _right_type(annotation: str, value: Any) -> bool:
    if annotation.startswith("Mapping"):
        return isinstance(value, Mapping)
    if annotation.startswith("tuple"):
        return isinstance(value, list | tuple)
    if annotation == "bool":
        return isinstance(value, bool)
    if annotation in ("int", "float"):
        return isinstance(value, int if annotation == "int" else int | float) and not isinstance(value, bool)
    return isinstance(value, str)


def _scheme(url: str) -> str:
    try:
        return urlsplit(url).scheme
    except ValueError:
        return ""


def _without_password(url: str) -> str:
    return re.sub(r"//[^@/]*@", "//…@", url)
