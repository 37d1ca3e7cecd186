"""Everybody who can be recognised, as arrays in this process; never older than the database by a second.

A snapshot belongs to one space: a model version and a kind of vector (pictures and faces show characters, styles show
artists). It is thrown away when the ``Gallery`` row says another revision, which every service that changes subjects,
supports or their vectors makes it do. What changes without a service (a post's deletion takes its supports along) and
what crosses it (a vector that arrives while its post is being enrolled) is noticed by a second look, twice a second.
"""

from __future__ import annotations

import threading
import time
import uuid
from collections import Counter, OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any, NamedTuple

import numpy as np
from django.db.models import F

from booru_ml.types import FloatArray
from embeddings import shown, strangers
from embeddings.calibration import calibration
from embeddings.methods import SupportSet
from embeddings.methods.coverage import farthest_points
from embeddings.models import Gallery, Subject, Support, Vector
from embeddings.prototypes import Calibration, Former, Supports
from embeddings.shown import Headers, Key, Read
from embeddings.strangers import BACKGROUND, Strangers

LOOK_SECONDS = 0.5
TOGETHER_SECONDS = 0.1
"""For how long one count of the supports serves all spaces of a question."""
GROWN_SECONDS = 30.0
"""How often a board is asked whether it has outgrown its background, once that is complete."""
WAITING = 1000
KEPT = 6

EXEMPLARS = 64
"""The most of one subject that pictures are compared with."""

Revision = tuple[int, uuid.UUID | None]
Look = tuple[tuple[Key, float], ...]
"""A subject's exemplars and their weights"""


@dataclass(frozen=True, slots=True, eq=False)
class Snapshot:
    """One space's subjects, in the order of ``supports``."""

    revision: Revision
    support_count: int
    """how many supports there were, of everybody"""
    reach: int
    """how far the background goes (see ``_reach``)"""
    waiting: tuple[Any, ...]
    """support posts without any vector yet, ``WAITING`` of them at most"""
    subjects: tuple[tuple[int, str, str], ...]
    """(id, name, category)"""
    posts: tuple[Any, ...]
    """(M,) the post that each exemplar comes from"""
    looks: Mapping[int, Look]
    """by subject id"""
    read: Read
    """the exemplars as they stand in the database; ``supports`` has them in the method's space"""
    rejected: Read
    strangers: Strangers
    supports: Supports
    calibration: Calibration


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


_Exhibit = tuple[_Row, Key]
"""A support and a vector that shows it."""


class Room:
    """The snapshots of this process, by (model version, kind)."""

    def __init__(self) -> None:
        self._held: OrderedDict[tuple[str, str], Snapshot] = OrderedDict()
        self._looked: dict[tuple[str, str], float] = {}
        self._grown: dict[tuple[str, str], float] = {}
        self._counted = (-TOGETHER_SECONDS, 0)
        self._lock = threading.Lock()

    def snapshot(self, model_version: str, kind: str, *, known: Revision | None = None) -> Snapshot:
        """The space's current snapshot; ``known`` spares the look at the revision within one call."""
        space = (model_version, kind)
        now = known or revision()
        with self._lock:
            held = self._held.get(space)
            if held and held.revision == now and not self._outgrown(space, held):
                self._held.move_to_end(space)
                return held
            fresh = load(model_version, kind, held=held)
            self._held[space] = fresh
            self._looked[space] = self._grown[space] = time.monotonic()
            while len(self._held) > KEPT:
                gone = self._held.popitem(last=False)[0]
                del self._looked[gone], self._grown[gone]
            return fresh

    def _outgrown(self, space: tuple[str, str], held: Snapshot) -> bool:
        now = time.monotonic()
        if now - self._looked[space] < LOOK_SECONDS:
            return False
        self._looked[space] = now
        young = len(held.supports.fitted.support.background) < BACKGROUND
        if held.subjects and (young or now - self._grown[space] >= GROWN_SECONDS):
            self._grown[space] = now
            if strangers.reach(*space)[1] != held.reach:
                return True
        if self._support_count(now) != held.support_count:
            return True
        return bool(held.waiting) and bool(shown.analysed(space[0], held.waiting))

    def _support_count(self, now: float) -> int:
        """Counted once for all spaces of a question."""
        counted, count = self._counted
        if now - counted > TOGETHER_SECONDS:
            count = Support.objects.count()
            self._counted = now, count
        return count


room = Room()


def revision() -> Revision:
    """The gallery's revision and its token, in one cheap query."""
    return Gallery.objects.filter(pk=1).values_list("revision", "token").first() or (0, None)


def bump() -> int:
    """Raises the revision inside the caller's transaction, in line with all others that do; returns it."""
    raised = {"revision": F("revision") + 1, "token": uuid.uuid4()}
    if not Gallery.objects.filter(pk=1).update(**raised):
        Gallery.objects.bulk_create([Gallery(pk=1)], ignore_conflicts=True)
        Gallery.objects.filter(pk=1).update(**raised)
    return revision()[0]


def load(
    model_version: str,
    kind: str,
    *,
    instead: Mapping[int, Sequence[Support]] | None = None,
    held: Snapshot | None = None,
) -> Snapshot:
    """Reads the space from the database. The revision is read first: what comes later makes it stale, never wrong.

    ``instead``: by subject id, supports (saved or not) that stand for a subject's own, as if it were enabled; with none
    it is left out. That is how a gallery is tried that nobody wrote yet. ``held``: a former snapshot of the space, from
    which everything is taken over that did not change.
    """
    at = revision()
    constants = calibration(model_version, kind)
    count, far = Support.objects.count(), strangers.reach(model_version, kind)[1]
    rows, heads = _rows(model_version, kind, instead or {})
    exhibits = [
        (row, key) for row in rows if row.positive for key in shown.speaks(row, kind, heads.get(row.post_id, ()))
    ]
    found, vectors = shown.data([key for _, key in exhibits], held.read if held else None)
    exhibits, exemplars = _covering([exhibits[place] for place in found], vectors)
    looks: dict[int, Look] = {}
    subjects, starts = [], []
    for subject_id, own in groupby(enumerate(exhibits), key=lambda item: item[1][0].subject_id):
        shows = list(own)
        starts.append(shows[0][0])
        subjects.append((subject_id, shows[0][1][0].name, shows[0][1][0].category))
        looks[subject_id] = tuple((key, row.weight) for _, (row, key) in shows)
    places = {subject_id: place for place, subject_id in enumerate(looks)}
    refused = [
        (row, key)
        for row in rows
        if not row.positive and row.subject_id in places
        for key in shown.speaks(row, kind, heads.get(row.post_id, ()))
    ]
    found, negatives = shown.data([key for _, key in refused], held.rejected if held else None)
    refused = [refused[place] for place in found]
    posts = {row.post_id for row in rows}
    others = strangers.draw(model_version, kind, posts)
    return Snapshot(
        revision=at,
        support_count=count,
        reach=far,
        waiting=_waiting(model_version, posts - heads.keys()),
        subjects=tuple(subjects),
        posts=tuple(row.post_id for row, _ in exhibits),
        looks=looks,
        read=Read({key: number for number, (_, key) in enumerate(exhibits)}, exemplars),
        rejected=Read({key: number for number, (_, key) in enumerate(refused)}, negatives),
        strangers=others,
        supports=Supports.of(
            SupportSet.of(
                exemplars,
                np.array(starts, dtype=np.int64),
                weights=np.array([row.weight for row, _ in exhibits], dtype=np.float32),
                background=others.vectors,
            ),
            constants,
            negatives=negatives,
            owners=np.array([places[row.subject_id] for row, _ in refused], dtype=np.int64),
            former=_former(held, looks, others, constants),
        ),
        calibration=constants,
    )


def exemplars(model_version: str, kind: str, supports: Sequence[Support]) -> tuple[list[Support], FloatArray]:
    """Those of these supports that show their subject by a vector of ``kind``, and the vectors (M, D)."""
    posts = sorted({row.post_id for row in supports}, key=str)
    heads = shown.headers(model_version, kind, None, posts)
    positive = [row for row in supports if row.positive]
    exhibits = [(row, key) for row in positive for key in shown.speaks(row, kind, heads.get(row.post_id, ()))]
    found, vectors = shown.data([key for _, key in exhibits])
    return [exhibits[place][0] for place in found], vectors


def _rows(model_version: str, kind: str, instead: Mapping[int, Sequence[Support]]) -> tuple[list[_Row], Headers]:
    """The supports of everybody in the space, by subject, and the vectors of their posts."""
    category = Subject.Category.ARTIST if kind == Vector.Kind.STYLE else Subject.Category.CHARACTER
    saved = Support.objects.filter(subject__enabled=True, subject__category=category)
    saved = saved.exclude(subject_id__in=list(instead)) if instead else saved
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
    others = [row.post_id for row in tried]
    return rows, shown.headers(model_version, kind, saved.values("post_id"), others)


def _covering(exhibits: list[_Exhibit], vectors: FloatArray) -> tuple[list[_Exhibit], FloatArray]:
    """At most ``EXEMPLARS`` of each subject, which leave none of its looks out."""
    if max(Counter(row.subject_id for row, _ in exhibits).values(), default=0) <= EXEMPLARS:
        return exhibits, vectors
    kept: list[int] = []
    start = 0
    for _, own in groupby(exhibits, key=lambda item: item[0].subject_id):
        weights = np.array([row.weight for row, _ in own], dtype=np.float32)
        span = vectors[start : start + len(weights)]
        kept += (start + farthest_points(span, EXEMPLARS, weights)).tolist()
        start += len(weights)
    return [exhibits[row] for row in kept], vectors[kept]


def _former(
    held: Snapshot | None, looks: Mapping[int, Look], others: Strangers, constants: Calibration
) -> Former | None:
    """Which subjects and strangers are as they were."""
    if held is None or held.calibration != constants:
        return None
    before = {subject_id: place for place, (subject_id, _, _) in enumerate(held.subjects)}
    same = [before[key] if held.looks.get(key) == look else -1 for key, look in looks.items()]
    rows = {id_: row for row, id_ in enumerate(held.strangers.ids)}
    return Former(
        supports=held.supports,
        subjects=np.array(same, dtype=np.int64),
        strangers=np.array([rows.get(id_, -1) for id_ in others.ids], dtype=np.int64),
    )


def _waiting(model_version: str, posts: set[Any]) -> tuple[Any, ...]:
    return tuple(sorted(posts - shown.analysed(model_version, posts), key=str)[:WAITING])
