"""Which vectors show whom: from support rows, which name posts and places, to vectors of one space.

Vectors are large and seldom change, so their headers are read each time and their data once: ``Read`` keeps it under
the row's id and stamp, which no other vector ever has.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from django.db.models import QuerySet

from booru_ml.types import Box, FloatArray
from embeddings.models import Vector
from embeddings.store import box_of, readable

CHUNK = 5000

Key = tuple[int, int]
"""id and stamp of a vector's row"""


class Place(Protocol):
    """What a support row says of where it looks."""

    @property
    def post_id(self) -> Any: ...
    @property
    def kind(self) -> str: ...
    @property
    def number(self) -> int: ...
    @property
    def box(self) -> Any: ...
    @property
    def positive(self) -> bool: ...


@dataclass(frozen=True, slots=True)
class Header:
    """A vector without its data."""

    key: Key
    number: int
    box: Box | None


Headers = Mapping[Any, Sequence[Header]]
"""By post, the faces in the order of their numbers."""


@dataclass(frozen=True, slots=True, eq=False)
class Read:
    """Data that was read before: (M, D), and the row of each key in it."""

    keys: Mapping[Key, int]
    vectors: FloatArray


def headers(model_version: str, kind: str, posts: QuerySet[Any] | None, others: Sequence[Any] = ()) -> Headers:
    """What there is in the space of the posts of a query, if any, and of others."""
    space = Vector.objects.filter(model_version=model_version, kind=kind)
    asked = [space.filter(post_id__in=posts)] if posts is not None else []
    some = (others[start : start + CHUNK] for start in range(0, len(others), CHUNK))
    asked += [Vector.objects.of_posts(few, model_version=model_version).filter(kind=kind) for few in some]
    found: dict[Any, dict[Key, Header]] = defaultdict(dict)
    for rows in asked:
        # Only faces have boxes, and JSON takes its time.
        boxes = ("box",) if kind == Vector.Kind.FACE else ()
        for id_, stamp, post_id, number, *box in rows.values_list("id", "stamp", "post_id", "number", *boxes):
            found[post_id][id_, stamp] = Header((id_, stamp), number, box_of(box[0]) if box else None)
    return {post_id: sorted(own.values(), key=lambda item: item.number) for post_id, own in found.items()}


def data(keys: Sequence[Key], known: Read | None = None) -> tuple[list[int], FloatArray]:
    """(K, D) vectors of these rows and the places of their keys; a row that is gone or damaged is left out."""
    held = known.keys if known is not None else {}
    missing = sorted({key[0] for key in keys if key not in held})
    rows: list[tuple[Key, bytes]] = []
    for start in range(0, len(missing), CHUNK):
        fetched = Vector.objects.filter(pk__in=missing[start : start + CHUNK]).values_list("id", "stamp", "data")
        rows += [((id_, stamp), bytes(blob)) for id_, stamp, blob in fetched]
    names, fresh = readable(rows)
    if known is None or not len(known.vectors):
        places = {name: row for row, name in enumerate(names)}
        kept = [place for place, key in enumerate(keys) if key in places]
        return kept, fresh[[places[keys[place]] for place in kept]]
    if len(fresh) and fresh.shape[1] != known.vectors.shape[1]:
        return data(keys)  # another length rules the space from now on
    new = {name: row for row, name in enumerate(names)}
    kept = [place for place, key in enumerate(keys) if key in held or key in new]
    vectors = np.empty((len(kept), known.vectors.shape[1]), dtype=np.float32)
    old = [(row, held[keys[place]]) for row, place in enumerate(kept) if keys[place] in held]
    added = [(row, new[keys[place]]) for row, place in enumerate(kept) if keys[place] not in held]
    for pairs, source in ((old, known.vectors), (added, fresh)):
        if pairs:
            to, of = np.array(pairs).T
            vectors[to] = source[of]
    return kept, vectors


def alike(one: Read, other: Read) -> bool:
    """Whether the vectors of both, if they have any, are of one length."""
    return not len(one.vectors) or not len(other.vectors) or one.vectors.shape[1] == other.vectors.shape[1]


def joined(keys: Sequence[Key], fresh: Read, held: Read) -> Read:
    """These keys, each of which one of two that are ``alike`` has."""
    rows = np.array([fresh.keys[key] if key in fresh.keys else ~held.keys[key] for key in keys], dtype=np.int64)
    new = rows >= 0
    if new.all():
        vectors = fresh.vectors[rows]
    else:
        vectors = held.vectors[np.where(new, 0, ~rows)]
        if new.any():
            vectors[new] = fresh.vectors[rows[new]]
    return Read({key: number for number, key in enumerate(keys)}, vectors)


def speaks(place: Place, kind: str, shown: Sequence[Header]) -> list[Key]:
    """Which of the post's vectors of ``kind`` speak for a support.

    A chosen face is found again by its place, since another detector may number faces differently. The only face of a
    whole picture shows its subject, too; of several it would be a guess. A picture that does *not* show the subject
    shows it in none of its faces.
    """
    if kind != Vector.Kind.FACE:
        return [item.key for item in shown] if place.kind == kind else []
    if place.kind == Vector.Kind.FACE:
        chosen = box_of(place.box)
        if chosen:
            best = max(shown, key=lambda item: overlap(chosen, item.box), default=None)
            return [best.key] if best and overlap(chosen, best.box) >= 0.3 else []
        return [item.key for item in shown if item.number == place.number]
    if place.kind == Vector.Kind.PICTURE and (len(shown) == 1 or not place.positive):
        return [item.key for item in shown]
    return []


def overlap(one: Box, other: Box | None) -> float:
    """Intersection over union, 0–1."""
    if other is None:
        return 0.0
    width = min(one.x + one.width, other.x + other.width) - max(one.x, other.x)
    height = min(one.y + one.height, other.y + other.height) - max(one.y, other.y)
    shared = max(width, 0) * max(height, 0)
    union = one.width * one.height + other.width * other.height - shared
    return shared / union if union > 0 else 0.0


def analysed(model_version: str, post_ids: Iterable[Any]) -> set[Any]:
    """Those of these posts that have any vector of this version."""
    asked = list(post_ids)
    found: set[Any] = set()
    for start in range(0, len(asked), CHUNK):
        rows = Vector.objects.of_posts(asked[start : start + CHUNK], model_version=model_version)
        found.update(rows.values_list("post_id", flat=True))
    return found
