"""What a picture is like: vectors remembered, subjects recognised, neighbours found."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from django.db import transaction
from django.db.models import QuerySet

from booru_ml.errors import InvalidInput, NotFound
from booru_ml.statements import kept, slots
from booru_ml.types import Analysis, FloatArray
from embeddings import recognition, revisions, similar, store
from embeddings.calibration import active_version
from embeddings.models import Support, Vector
from embeddings.types import Match, Neighbour

NEIGHBOURS = 200
"""The most that one question may ask for."""


@transaction.atomic(savepoint=False)
def remember(analyses: Sequence[Analysis]) -> None:
    """Keeps the vectors of these analyses; of two for one post the later job speaks."""
    latest = {item.post_id: item for item in sorted(analyses, key=lambda item: item.job_id)}
    written = store.write(latest.values())
    shown = partial(_shown(Support.objects.db).rows, post=written.added | written.replaced)
    if written.replaced or shown():
        revision = revisions.bump()
        # Asked behind the lock: who enrols such a post either stands in the answer or comes after this revision.
        revisions.narrow(revision, shown())


def recognise_all(analyses: Sequence[Analysis]) -> list[tuple[Match, ...]]:
    """Who is in each of these pictures and who drew it; the most probable first, ``known`` only where it is sure
    enough. One look at the gallery's revision for all of them."""
    asked = [recognition.question(item) for item in analyses]
    answers = iter(recognition.answer([item for item in asked if item]))
    return [next(answers) if item else () for item in asked]


def rematch(post_ids: Sequence[Any], *, model_version: str | None = None) -> dict[Any, tuple[Match, ...]]:
    """What ``recognise_all`` would say today of posts that were embedded before, without a network pass or a write.

    Posts without vectors of the active (or given) model version are left out.
    """
    asked = recognition.stored_questions(post_ids, model_version or active_version())
    return dict(zip([item.post_id for item in asked], recognition.answer(asked), strict=True))


def near(
    *,
    post_id: Any = None,
    vector: FloatArray | None = None,
    kind: str = "picture",
    number: int = 0,
    limit: int = 10,
    model_version: str | None = None,
) -> tuple[Neighbour, ...]:
    """The posts most like a post (itself left out) or a vector (D,); best first.

    Raises ``NotFound`` where the post has no such vector (yet), ``InvalidInput`` for an unusable question.
    """
    if kind not in Vector.Kind.values or not 1 <= limit <= NEIGHBOURS:
        raise InvalidInput(f"Ask for picture, style or face and for 1 to {NEIGHBOURS} neighbours.")
    if vector is not None:
        query = store.decode([store.encode(vector)])[0]
        return similar.nearest(query, model_version=model_version or active_version(), kind=kind, limit=limit)
    rows = Vector.objects.filter(post_id=post_id, kind=kind, number=number)
    row = (rows.filter(model_version=model_version) if model_version else rows).order_by("-id").first()
    if row is None:
        raise NotFound("This post has no such vector; it may be waiting for its analysis.", code="not_analysed")
    return similar.nearest(
        store.decode([row.data])[0], model_version=row.model_version, kind=kind, limit=limit, without=row.post_id
    )


def near_each(
    vectors: Sequence[FloatArray], *, model_version: str, limit: int, least: float = -1.0
) -> list[tuple[Neighbour, ...]]:
    """The posts whose pictures are most like each of these embeddings (D,), with one look for all; best first, from a
    cosine of ``least`` on."""
    if not vectors:
        return []
    queries = store.decode([store.encode(vector) for vector in vectors])
    picture = Vector.Kind.PICTURE
    return similar.nearest_each(queries, model_version=model_version, kind=picture, limit=limit, least=least)


@kept
def _shown(using: str) -> QuerySet[Any]:
    """The subjects that these posts are support pictures of."""
    return Support.objects.using(using).filter(post_id__in=slots(Support, "post")).values_list("subject_id", flat=True)
