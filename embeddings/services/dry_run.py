"""The dry run: whom would a gallery name that nobody wrote yet, on the posts that are there already?

Near posts are found by the index, then each is asked exactly as a fresh upload would be, against the gallery as it
would be. Nothing is written.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

from booru_ml.errors import InvalidInput
from booru_ml.types import FloatArray
from embeddings import gallery, recognition, similar
from embeddings.calibration import active_version
from embeddings.gallery import Snapshot
from embeddings.models import Subject, Support, Vector
from embeddings.services.references import boxes, category_of, clean_name, named, speaking
from embeddings.services.subjects import find
from embeddings.types import Hit, Preview, SupportRef

LOOKED = 1000
"""The most posts that one dry run compares exactly."""
BATCH = 100
"""Posts compared at a time, the nearest first; it ends with the first batch in which nobody is known."""
SHOWN = 0.02
"""Less probable posts are of no interest to anybody."""
NEW = 0
"""Stands for the id of a subject that is not written yet."""


def preview(
    *,
    subject_id: int | None = None,
    name: str = "",
    category: str = "character",
    show: Sequence[SupportRef] = (),
    show_not: Sequence[SupportRef] = (),
    without: Sequence[int] = (),
    merged_id: int | None = None,
) -> Preview:
    """Which posts would be given a subject's name if it were enrolled by ``show``, or changed so.

    A known subject (by ``subject_id``, or by ``name``) gets ``show`` and ``show_not`` added and loses the supports with
    the ids ``without``; ``merged_id`` names one whose pictures it takes over. Raises ``InvalidInput`` and ``NotFound``.
    """
    subject = _subject(subject_id, name, category)
    instead = {subject.pk: _supports(subject, show, show_not, set(without))}
    if merged_id is not None:
        other = find(merged_id)
        if other.pk == subject.pk or other.category != subject.category:
            raise InvalidInput("Only two of one category are merged.", field="merged")
        instead[subject.pk] += [_moved(row, subject) for row in other.supports.all()]
        instead[other.pk] = []
    if not any(row.positive for row in instead[subject.pk]):
        raise InvalidInput("Give at least one post that shows the subject.", field="posts")
    version, kinds = active_version(), recognition.KINDS[subject.category]
    examples = {kind: gallery.exemplars(version, kind, instead[subject.pk])[1] for kind in kinds}
    # Where nothing shows the subject by a kind of vector, that kind has no say in the matter.
    spaces = {kind: gallery.load(version, kind, instead=instead) for kind in kinds if len(examples[kind])}
    posts = {row.post_id for row in instead[subject.pk]}
    hits, compared = _asked(version, spaces, subject.pk, _near(version, examples, without=posts))
    analysed = Vector.objects.of_posts(posts, model_version=version).filter(kind__in=kinds)
    return Preview(
        name=subject.name,
        category=subject.category,
        hits=tuple(sorted(hits, key=lambda hit: (-hit.probability, -hit.similarity))),
        threshold=recognition.lowest_bar(subject.category),
        compared=compared,
        total=_others(version, kinds[0], posts),
        examples=sum(row.positive for row in instead[subject.pk]),
        waiting=len(posts - set(analysed.values_list("post_id", flat=True))),
    )


def _subject(subject_id: int | None, name: str, category: str) -> Subject:
    if subject_id is not None:
        return find(subject_id)
    wanted, kind = clean_name(name), category_of(category)
    return named(name, kind) or Subject(pk=NEW, name=wanted, category=kind)


def _supports(
    subject: Subject, show: Sequence[SupportRef], show_not: Sequence[SupportRef], without: set[int]
) -> list[Support]:
    """The subject's supports as they would be."""
    own = list(subject.supports.exclude(pk__in=without)) if subject.pk != NEW else []
    rows = {row.ref: _moved(row, subject) for row in own}
    for refs, positive in ((show, True), (show_not, False)):
        wanted = speaking(refs, category=subject.category)
        places = boxes(wanted)
        for item in wanted:
            rows[item] = Support(subject=subject, **asdict(item), box=places.get(item), positive=positive)
    return list(rows.values())


def _moved(row: Support, subject: Subject) -> Support:
    row.subject = subject
    return row


def _near(version: str, examples: Mapping[str, FloatArray], *, without: set[Any]) -> list[Any]:
    """The posts nearest to any of the examples, by every kind of vector, nearest first; ``LOOKED`` of them at most."""
    best: dict[Any, float] = {}
    for kind, queries in examples.items():
        if not len(queries):
            continue
        limit = max(LOOKED // len(queries), BATCH) + len(without)
        for found in similar.nearest_each(queries, model_version=version, kind=kind, limit=limit):
            for item in found:
                best[item.post_id] = max(best.get(item.post_id, -1.0), item.similarity)
    return sorted((post for post in best if post not in without), key=lambda post: -best[post])[:LOOKED]


def _asked(version: str, spaces: Mapping[str, Snapshot], key: int, posts: Sequence[Any]) -> tuple[list[Hit], int]:
    """What these posts would be told of the subject, and how many were asked until a whole batch knew nothing of it."""
    hits: list[Hit] = []
    for start in range(0, len(posts), BATCH):
        stored = recognition.stored_questions(posts[start : start + BATCH], version)
        questions = [replace(item, views=tuple(view for view in item.views if view.kind in spaces)) for item in stored]
        answers = recognition.answer(questions, read=lambda _, kind: spaces[kind])
        found = [
            Hit.of(item.post_id, match)
            for item, matches in zip(questions, answers, strict=True)
            for match in matches
            if match.subject_id == key and match.probability >= SHOWN
        ]
        hits += found
        if not found:
            return hits, min(start + BATCH, len(posts))
    return hits, len(posts)


def _others(version: str, kind: str, without: set[Any]) -> int:
    rows = Vector.objects.filter(model_version=version, kind=kind)
    return rows.count() - rows.filter(post_id__in=without).values("post_id").distinct().count()
