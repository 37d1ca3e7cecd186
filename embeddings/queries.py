"""Queries by picture: a web process leaves a row, a worker answers in it, the web process reads and removes it.

The row is the query, as a job's row is the job: a lost message delays it, a lost worker passes it on, and nobody works
on one whose asker has gone. How many may wait is bounded, so a flood is turned away at the door.
"""

from __future__ import annotations

import base64
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.db import connections, router, transaction
from django.db.models import F, Q, QuerySet
from django.db.models.functions import Greatest, Now

from booru_ml.conf import config
from booru_ml.errors import PictureRefused, TooMany, Unavailable
from booru_ml.models import Worker
from booru_ml.pipeline import doorbell
from booru_ml.pipeline.images.limits import Limits
from booru_ml.pipeline.images.refusals import sentence
from booru_ml.pipeline.queries import Query
from booru_ml.statements import kept
from booru_ml.types import Box, Finding, FloatArray, Refusal
from embeddings import store
from embeddings.models import PictureQuery, Vector

MOST_PER_ASKER = 4
MOST_ATTEMPTS = 2
"""A picture that took two workers down is not shown to a third."""
RING_SECONDS = 1.0
SHORTEST_PAUSE, LONGEST_PAUSE = 0.01, 0.05
"""Seconds between two looks for the answer."""


@dataclass(frozen=True, slots=True)
class Seen:
    """A picture as the networks saw it: ``vectors`` (D,) by kind and number, ``boxes`` of its faces, left to right."""

    model_version: str
    vectors: dict[tuple[str, int], FloatArray]
    boxes: tuple[Box, ...]


# --- The asker's side --------------------------------------------------------------------------------------------


def ask(picture: bytes, *, asker: str) -> Seen:
    """What a worker sees in this picture (a file's bytes); waits for it, at most ``QUERY_SECONDS``. An empty ``asker``
    is a program that speaks for many, and has no share of its own.

    Raises ``PictureRefused`` with the decoder's reasons; ``TooMany`` or ``Unavailable`` (``busy``) where too many
    queries wait; ``Unavailable`` where no worker is alive (``no_worker``) or none answers in time (``no_answer``). Not
    to be called inside a transaction, which would hide the query from the workers.
    """
    check_size(len(picture))
    if not Worker.objects.alive().filter(fault="").exists():
        raise Unavailable("No worker is at work, so no picture can be looked at. Try again later.", code="no_worker")
    seconds = config().QUERY_SECONDS
    query_id = _leave(picture, asker=asker[:64], seconds=seconds)
    try:
        said = _wait(query_id, seconds)
    finally:
        _rows().filter(pk=query_id).delete()
    if said is None:
        message = f"No worker had time for the picture within {seconds:g} s. Uploads go first; try again in a moment."
        raise Unavailable(message, code="no_answer")
    return _read(said)


def check_size(size: int) -> None:
    """Raises ``PictureRefused`` for what no worker would decode."""
    most = limits()
    if size == 0 or size > most.max_bytes:
        code = "too-many-bytes" if size else "empty"
        raise PictureRefused(sentence(code, most), code=code)


def limits() -> Limits:
    """The pictures' limits, with less time: somebody is waiting."""
    usual, seconds = Limits.from_config(), config().QUERY_SECONDS / 2
    values = usual.as_dict() | {
        "max_bytes": min(usual.max_bytes, config().QUERY_BYTES),
        "cpu_seconds": max(1, min(usual.cpu_seconds, int(seconds))),
        "timeout_seconds": min(usual.timeout_seconds, seconds),
    }
    return Limits(**values)


def _leave(picture: bytes, *, asker: str, seconds: float) -> int:
    with transaction.atomic(using=_alias(), durable=True):
        waiting = list(_rows().filter(expires_at__gt=Now(), answer__isnull=True).values_list("asker", flat=True))
        if asker and waiting.count(asker) >= MOST_PER_ASKER:
            raise TooMany(f"{MOST_PER_ASKER} pictures of yours are being looked at already; wait for their answers.")
        if len(waiting) >= config().QUERIES_WAITING:
            raise Unavailable("Too many pictures are being asked about. Try again in a moment.", code="busy")
        # Relative to the database's clock, which the workers go by as well.
        row = PictureQuery(asker=asker, picture=picture, expires_at=Now() + timedelta(seconds=seconds))
        row.save(using=_alias(), force_insert=True)
    doorbell.ring()
    return int(row.pk)


def _wait(query_id: int, seconds: float) -> dict[str, Any] | None:
    """The answer, or None when the time is up."""
    begun = rung = time.monotonic()
    pause = SHORTEST_PAUSE
    while (now := time.monotonic()) - begun < seconds:
        time.sleep(pause)
        pause = min(LONGEST_PAUSE, pause * 1.3)
        row = _rows().filter(pk=query_id).values_list("answer", flat=True)[:1]
        if not row:
            return None
        if row[0] is not None:
            return dict(row[0])
        if now - rung >= RING_SECONDS:  # the last one may have been lost
            doorbell.ring()
            rung = now
    return None


def _read(said: dict[str, Any]) -> Seen:
    if "refused" in said:
        raise PictureRefused(said["message"], code=said["refused"])
    vectors = {(kind, number): _vector(text) for kind, number, text in said["vectors"]}
    return Seen(said["model_version"], vectors, tuple(Box(*values) for values in said["boxes"]))


# --- The worker's side (``booru_ml.pipeline.queries.Desk``) -------------------------------------------------------


def waiting() -> bool:
    """Whether a query is to be worked on. Removes those whose asker was lost; the table never holds more than a few."""
    if not _any(_alias()).rows():
        return False
    found = _rows().annotate(now=Now()).values_list("pk", "now", "expires_at", "taken_until", "attempts", "answer")
    expired, free = [], False
    for pk, now, expires_at, taken_until, attempts, answer in found:
        if expires_at <= now:
            expired.append(pk)
        elif answer is None and attempts < MOST_ATTEMPTS and (taken_until is None or taken_until <= now):
            free = True
    if expired:
        _rows().filter(pk__in=expired).delete()
    return free


def take(limit: int) -> list[Query]:
    """Takes up to ``limit`` queries, the oldest first; the attempt is committed before this returns."""
    alias = _alias()
    with transaction.atomic(using=alias):
        free = _rows().filter(
            Q(taken_until=None) | Q(taken_until__lte=Now()),
            answer__isnull=True,
            attempts__lt=MOST_ATTEMPTS,
            expires_at__gt=Now(),
        )
        if connections[alias].features.has_select_for_update_skip_locked:
            free = free.select_for_update(skip_locked=True)
        rows = list(free.annotate(now=Now()).order_by("pk")[:limit])
        lease = timedelta(seconds=config().QUERY_SECONDS / 2)
        _rows().filter(pk__in=[row.pk for row in rows]).update(attempts=F("attempts") + 1, taken_until=Now() + lease)
    return [Query(row.pk, bytes(row.picture), (row.expires_at - row.now).total_seconds()) for row in rows]


def answer(query_id: int, said: Finding | Refusal) -> None:
    """The first answer counts. The picture goes at once, the row when its asker has read it."""
    if isinstance(said, Refusal):
        body: dict[str, Any] = {"refused": said.code, "message": said.message}
    else:
        body = {
            "model_version": said.embedding_model,
            "vectors": [[kind, number, _text(vector)] for kind, number, vector in _vectors(said)],
            "boxes": [[face.box.x, face.box.y, face.box.width, face.box.height] for face in said.faces],
        }
    _rows().filter(pk=query_id, answer__isnull=True).update(answer=body, picture=b"")


def give_back(query_ids: Sequence[int]) -> None:
    """As if they had not been taken: what kept the worker from them was no fault of theirs."""
    rows = _rows().filter(pk__in=query_ids, answer__isnull=True)
    rows.update(attempts=Greatest(F("attempts") - 1, 0), taken_until=None)


def _vectors(finding: Finding) -> Iterable[tuple[str, int, FloatArray]]:
    if finding.embedding.size:
        yield Vector.Kind.PICTURE.value, 0, finding.embedding
    if finding.style.size:
        yield Vector.Kind.STYLE.value, 0, finding.style
    for number, face in enumerate(finding.faces):
        yield Vector.Kind.FACE.value, number, face.embedding


def _text(vector: FloatArray) -> str:
    return base64.b64encode(store.encode(vector)).decode()


def _vector(text: str) -> FloatArray:
    vector: FloatArray = store.decode([base64.b64decode(text)])[0]
    return vector


def _alias() -> str:
    return router.db_for_write(PictureQuery)


@kept
def _any(using: str) -> QuerySet[Any]:
    return PictureQuery.objects.using(using).values_list("pk")[:1]


def _rows() -> QuerySet[PictureQuery]:
    return PictureQuery.objects.using(_alias())
