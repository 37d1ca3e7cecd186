"""Vectors in and out of the database: float16 rows on one side, float32 arrays on the other."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from django.db import router
from django.db.models import QuerySet
from django.db.models.sql import InsertQuery

from booru_ml.errors import InvalidInput
from booru_ml.statements import insert, kept, slots
from booru_ml.types import Analysis, Box, Face, FloatArray
from embeddings.models import Vector

log = logging.getLogger(__name__)

SAME = 2e-3
"""Largest difference per component between two looks at one picture."""

_Key = tuple[Any, str, int, str]


def encode(vector: FloatArray) -> bytes:
    """(D,) as L2-normalised little-endian float16. Raises ``InvalidInput`` for what has no direction."""
    values = np.asarray(vector, dtype=np.float32)
    norm = float(np.linalg.norm(values))
    if values.ndim != 1 or not np.isfinite(norm) or norm < 1e-6:
        raise InvalidInput(f"An embedding must be a finite vector that is not zero; this one has the norm {norm}.")
    return (values / norm).astype("<f2").tobytes()


def decode(blobs: Sequence[bytes | memoryview]) -> FloatArray:
    """(N, D) float32 from rows of one length. Raises ``ValueError`` where lengths differ."""
    if not blobs:
        return np.zeros((0, 0), dtype=np.float32)
    if len({len(blob) for blob in blobs}) != 1:
        raise ValueError("these vectors differ in length")
    return np.frombuffer(b"".join(blobs), dtype="<f2").reshape(len(blobs), -1).astype(np.float32)


def readable(
    rows: Sequence[tuple[Any, bytes | memoryview]], *, dimension: int | None = None
) -> tuple[list[Any], FloatArray]:
    """Keys and (N, D) vectors of ``(key, data)`` rows; a damaged row is left out and logged.

    Its length tells: it is not that of the space's ``dimension``, or else of most rows here.
    """
    if not rows:
        return [], decode([])
    lengths = [len(data) for _, data in rows]
    usual = 2 * dimension if dimension else max(set(lengths), key=lengths.count)
    whole = [length == usual > 0 and length % 2 == 0 for length in lengths]
    good = [row for row, sound in zip(rows, whole, strict=True) if sound]
    if len(good) < len(rows):
        strange = [key for (key, _), sound in zip(rows, whole, strict=True) if not sound]
        log.error("%d vectors have another length than their space and are ignored: %s", len(strange), strange[:20])
    return [key for key, _ in good], decode([data for _, data in good])


def box_of(stored: dict[str, float] | None) -> Box | None:
    """The rectangle of a row's ``box`` column."""
    return Box(stored["x"], stored["y"], stored["width"], stored["height"]) if stored else None


@dataclass(frozen=True, slots=True)
class Written:
    """Ids of posts whose vectors are new, and of those where older ones were replaced or removed."""

    added: frozenset[Any]
    replaced: frozenset[Any]


def write(analyses: Iterable[Analysis]) -> Written:
    """Makes the rows of these posts what the analyses say.

    Unchanged rows are not touched; what changed is deleted and written as a new row, so that a row never means two
    pictures. A refused picture leaves nothing behind, under any model version.
    """
    finished = list(analyses)
    refused = [item.post_id for item in finished if item.finding is None]
    wanted = {_key(row): row for item in finished for row in rows_of(item)}
    gone = _forget(refused)
    posts = [item.post_id for item in finished if item.finding]
    present: dict[_Key, Vector] = {_key(row): row for row in _of_posts(Vector.objects.db).rows(post=posts)}
    same = {key for key, row in wanted.items() if key in present and _equal(row, present[key])}
    fresh = [wanted[key] for key in sorted(wanted.keys() - same, key=str)]
    spaces = {(item.post_id, item.finding.embedding_model) for item in finished if item.finding}
    stale = [row for key, row in present.items() if key not in same and (key[0], key[3]) in spaces]
    if stale:
        Vector.objects.filter(pk__in=[row.pk for row in stale]).delete()
    _insert(router.db_for_write(Vector)).run_each([vars(row) for row in fresh])
    return Written(
        added=frozenset(row.post_id for row in fresh),
        replaced=frozenset(row.post_id for row in stale) | gone,
    )


def rows_of(analysis: Analysis) -> list[Vector]:
    """The rows that an analysis asks for; none of a refused picture."""
    finding = analysis.finding
    if finding is None:
        return []
    rows = []
    if finding.embedding.size:
        rows.append(_row(analysis.post_id, Vector.Kind.PICTURE, 0, finding.embedding_model, finding.embedding))
    if finding.style.size:
        rows.append(_row(analysis.post_id, Vector.Kind.STYLE, 0, finding.embedding_model, finding.style))
    for number, face in enumerate(finding.faces):
        row = _row(analysis.post_id, Vector.Kind.FACE, number, finding.embedding_model, face.embedding)
        row.box = _box(face)
        rows.append(row)
    return rows


def _row(post_id: Any, kind: str, number: int, model_version: str, vector: FloatArray) -> Vector:
    return Vector(post_id=post_id, kind=kind, number=number, model_version=model_version, data=encode(vector))


def _box(face: Face) -> dict[str, float]:
    box = face.box
    values = {"x": box.x, "y": box.y, "width": box.width, "height": box.height, "score": face.score}
    return {name: round(float(value), 5) for name, value in values.items()}


def _key(row: Vector) -> _Key:
    return (row.post_id, str(row.kind), row.number, row.model_version)


def _equal(one: Vector, other: Vector) -> bool:
    """Whether a second look saw the same: arithmetic in another batch may differ in the last digit of float16."""
    if len(one.data) != len(other.data) or one.box != other.box:
        return False
    before, after = decode([one.data, other.data])
    return bool(np.abs(before - after).max() <= SAME)


def _forget(post_ids: Sequence[Any]) -> set[Any]:
    if not post_ids:
        return set()
    rows = Vector.objects.filter(post_id__in=post_ids)
    had = set(rows.values_list("post_id", flat=True))
    if had:
        rows.delete()
    return had


@kept
def _of_posts(using: str) -> QuerySet[Vector]:
    return Vector.objects.using(using).filter(post_id__in=slots(Vector, "post"))


@kept
def _insert(using: str) -> InsertQuery:
    # The conflict is another worker's row for the same post, committed since we looked: the later word stands.
    key = ["post", "kind", "number", "model_version"]
    return insert(Vector, unique_fields=key, update_fields=["box", "data", "stamp"])
