"""Subjects as they stand in the database: the support rows of each, and the vectors that these name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from itertools import groupby
from typing import Any, NamedTuple

import numpy as np
from django.db.models import Count, Sum

from booru_ml.types import FloatArray
from embeddings import shown
from embeddings.methods.coverage import farthest_points
from embeddings.models import Subject, Support, Vector
from embeddings.shown import Headers, Key, Read

EXEMPLARS = 64
"""The most of one subject that pictures are compared with."""

Counts = Mapping[int, tuple[int, int]]
"""Of each subject's supports: how many, and the sum of their ids"""


class Exemplar(NamedTuple):
    post_id: Any
    key: Key
    weight: float


@dataclass(frozen=True, slots=True)
class Member:
    """One subject in one space, of either kind of support."""

    id: int
    name: str
    category: str
    shows: tuple[Exemplar, ...]
    shows_not: tuple[Key, ...]
    posts: frozenset[Any]
    waiting: frozenset[Any]
    """the posts without any vector yet"""


Members = Mapping[int, Member]
"""In the order of their ids; who has no support is not among them"""


class _Row(NamedTuple):
    """A support, and whose it is."""

    subject_id: int
    post_id: Any
    kind: str
    number: int
    positive: bool
    weight: float
    name: str
    category: str
    box: Any = None


Instead = Mapping[int, Sequence[Support]]
"""By subject id, supports (saved or not) that stand for a subject's own, as if it were enabled; none leave it out"""


def counted() -> Counts:
    """Everybody's, in one query: it tells whose supports came or went by whatever way."""
    rows = Support.objects.order_by().values_list("subject_id").annotate(Count("id"), Sum("id"))
    return {subject_id: (count, ids) for subject_id, count, ids in rows}


def read(
    model_version: str,
    kind: str,
    *,
    only: Set[int] | None,
    instead: Instead,
    known: tuple[Read, Read] | None = None,
) -> tuple[dict[int, Member], Read, Read]:
    """The enabled subjects of the space (``only`` these, if given), what shows them, and what shows others instead.

    ``known``: data that was read before, of either sort.
    """
    rows, heads = _rows(model_version, kind, only, instead)
    missing = {row.post_id for row in rows} - heads.keys()
    missing -= shown.analysed(model_version, missing)
    exemplars, rejected = known or (None, None)
    right = [(row, key) for row in rows if row.positive for key in shown.speaks(row, kind, heads.get(row.post_id, ()))]
    found, vectors = shown.data([key for _, key in right], exemplars)
    right, vectors = _covering([right[place] for place in found], vectors)
    showing = {row.subject_id for row, _ in right}
    wrong = [
        (row, key)
        for row in rows
        if not row.positive and row.subject_id in showing
        for key in shown.speaks(row, kind, heads.get(row.post_id, ()))
    ]
    found, negatives = shown.data([key for _, key in wrong], rejected)
    wrong = [wrong[place] for place in found]
    shows = {key: [Exemplar(row.post_id, name, row.weight) for row, name in own] for key, own in _by_subject(right)}
    shows_not = {key: [name for _, name in own] for key, own in _by_subject(wrong)}
    members = {}
    for subject_id, group in groupby(rows, key=lambda row: row.subject_id):
        own = list(group)
        posts = frozenset(row.post_id for row in own)
        members[subject_id] = Member(
            id=subject_id,
            name=own[0].name,
            category=own[0].category,
            shows=tuple(shows.get(subject_id, ())),
            shows_not=tuple(shows_not.get(subject_id, ())),
            posts=posts,
            waiting=posts & missing if missing else frozenset(),
        )
    return (
        members,
        Read({key: number for number, (_, key) in enumerate(right)}, vectors),
        Read({key: number for number, (_, key) in enumerate(wrong)}, negatives),
    )


def _by_subject(exhibits: Sequence[tuple[_Row, Key]]) -> list[tuple[int, list[tuple[_Row, Key]]]]:
    return [(key, list(own)) for key, own in groupby(exhibits, key=lambda item: item[0].subject_id)]


def _rows(model_version: str, kind: str, only: Set[int] | None, instead: Instead) -> tuple[list[_Row], Headers]:
    """The supports, by subject, and the vectors of their posts."""
    category = Subject.Category.ARTIST if kind == Vector.Kind.STYLE else Subject.Category.CHARACTER
    saved = Support.objects.filter(subject__enabled=True, subject__category=category)
    saved = saved.exclude(subject_id__in=list(instead)) if instead else saved
    saved = saved if only is None else saved.filter(subject_id__in=only)
    own, boxes = _Row._fields[:-3], ("box",) if kind == Vector.Kind.FACE else ()
    columns = (*own, "subject__name", "subject__category", *boxes)
    rows = [
        _Row._make((*row, None)[: len(_Row._fields)])
        for row in saved.order_by("subject_id", "id").values_list(*columns)
    ]
    tried = [row for given in instead.values() for row in given if row.subject.category == category]
    rows += [
        _Row._make((*(getattr(row, name) for name in own), row.subject.name, row.subject.category, row.box))
        for row in tried
    ]
    rows.sort(key=lambda row: row.subject_id)
    if only is None:
        heads = shown.headers(model_version, kind, saved.values("post_id"), [row.post_id for row in tried])
    else:
        heads = shown.headers(model_version, kind, None, sorted({row.post_id for row in rows}, key=str))
    return rows, heads


def _covering(exhibits: list[tuple[_Row, Key]], vectors: FloatArray) -> tuple[list[tuple[_Row, Key]], FloatArray]:
    """At most ``EXEMPLARS`` of each subject, which leave none of its looks out."""
    groups = [own for _, own in _by_subject(exhibits)]
    if max(map(len, groups), default=0) <= EXEMPLARS:
        return exhibits, vectors
    kept: list[int] = []
    start = 0
    for own in groups:
        weights = np.array([row.weight for row, _ in own], dtype=np.float32)
        span = vectors[start : start + len(weights)]
        kept += (start + farthest_points(span, EXEMPLARS, weights)).tolist()
        start += len(weights)
    return [exhibits[row] for row in kept], vectors[kept]
