"""Everybody who can be recognised, as arrays in this process; never older than the database by a second.

A snapshot belongs to one space: a model version and a kind of vector (pictures and faces show characters, styles show
artists). It is thrown away when the ``Gallery`` row says another revision, which every service that changes subjects,
supports or their vectors makes it do. What changes without a service (a post's deletion takes its supports along) and
what crosses it (a vector that arrives while its post is being enrolled) is noticed by a second look, twice a second.
"""

from __future__ import annotations

import random
import threading
import time
import uuid
from collections import OrderedDict, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter
from typing import Any

import numpy as np
from django.db.models import F, Max, Min, QuerySet

from booru_ml.types import Box, FloatArray
from embeddings.calibration import calibration
from embeddings.methods import SupportSet
from embeddings.methods.coverage import farthest_points
from embeddings.models import Gallery, Subject, Support, Vector
from embeddings.prototypes import Calibration, Supports
from embeddings.store import box_of, readable

BACKGROUND = 256
"""How many of the board's pictures stand for strangers."""
LOOK_SECONDS = 0.5
TOGETHER_SECONDS = 0.1
"""For how long one count of the supports serves all spaces of a question."""
GROWN_SECONDS = 30.0
"""How often a board is asked whether it has outgrown its background, once that is complete."""
WAITING = 1000
CHUNK = 5000
KEPT = 6

EXEMPLARS = 64
"""The most of one subject that pictures are compared with."""

Revision = tuple[int, uuid.UUID | None]
_Key = tuple[int, Any, float]
"""subject, post and weight of an exemplar"""


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
    exemplars: FloatArray
    """(M, D) as they stand in the database; ``supports`` has them in the method's space"""
    supports: Supports
    calibration: Calibration

    def exemplars_of(self, subject_id: int) -> FloatArray:
        """(K, D) what shows this subject here; nothing of one who is not enrolled."""
        for place, (known, _, _) in enumerate(self.subjects):
            if known == subject_id:
                return self.exemplars[self.supports.span(place)]
        return self.exemplars[:0]


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
            fresh = load(model_version, kind)
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
            if _reach(*space)[1] != held.reach:
                return True
        if self._support_count(now) != held.support_count:
            return True
        return bool(held.waiting) and _analysed(space[0], held.waiting).exists()

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


def load(model_version: str, kind: str, *, instead: Mapping[int, Sequence[Support]] | None = None) -> Snapshot:
    """Reads the space from the database. The revision is read first: what comes later makes it stale, never wrong.

    ``instead``: by subject id, supports (saved or not) that stand for a subject's own, as if it were enabled; with none
    it is left out. That is how a gallery is tried that nobody wrote yet.
    """
    at = revision()
    constants = calibration(model_version, kind)
    count, reach = Support.objects.count(), _reach(model_version, kind)[1]
    category = Subject.Category.ARTIST if kind == Vector.Kind.STYLE else Subject.Category.CHARACTER
    supports = list(
        Support.objects.filter(subject__enabled=True, subject__category=category)
        .exclude(subject_id__in=list(instead or ()))
        .select_related("subject")
        .only("post_id", "kind", "number", "box", "positive", "weight", "subject__name", "subject__category")
        .order_by("subject_id", "id")
    )
    supports += [row for rows in (instead or {}).values() for row in rows if row.subject.category == category]
    post_ids = sorted({item.post_id for item in supports}, key=str)
    shown = _vectors(model_version, kind, post_ids)
    positive: dict[int, list[tuple[tuple[Any, float], bytes]]] = defaultdict(list)
    negative: list[tuple[int, bytes]] = []
    names: dict[int, tuple[int, str, str]] = {}
    for support in supports:
        for data in _shows(support, kind, shown.get(support.post_id, [])):
            if support.positive:
                subject = support.subject
                names[subject.pk] = (subject.pk, subject.name, subject.category)
                positive[subject.pk].append(((support.post_id, support.weight), data))
            else:
                negative.append((support.subject_id, data))
    rows = [((subject, *key), data) for subject in names for key, data in positive[subject]]
    keys, vectors = readable(rows)
    keys, exemplars = _covering(keys, vectors)
    order = list(dict.fromkeys(subject for subject, _, _ in keys))
    place = {subject: number for number, subject in enumerate(order)}
    firsts = {subject: number for number, (subject, _, _) in reversed(list(enumerate(keys)))}
    starts = np.array([firsts[subject] for subject in order], dtype=np.int64)
    owners, negatives = readable([(place[subject], data) for subject, data in negative if subject in place])
    return Snapshot(
        revision=at,
        support_count=count,
        reach=reach,
        waiting=_waiting(model_version, post_ids),
        subjects=tuple(names[subject] for subject in order),
        posts=tuple(post for _, post, _ in keys),
        exemplars=exemplars,
        supports=Supports.of(
            SupportSet.of(
                exemplars,
                starts,
                weights=np.array([weight for _, _, weight in keys], dtype=np.float32),
                background=_background(model_version, kind, set(post_ids)),
            ),
            constants,
            negatives=negatives,
            owners=np.array(owners, dtype=np.int64),
        ),
        calibration=constants,
    )


def _covering(keys: list[_Key], vectors: FloatArray) -> tuple[list[_Key], FloatArray]:
    """At most ``EXEMPLARS`` of each subject, which leave none of its looks out."""
    kept: list[int] = []
    start = 0
    for _, own in groupby(keys, key=itemgetter(0)):
        weights = np.array([weight for _, _, weight in own], dtype=np.float32)
        span = vectors[start : start + len(weights)]
        kept += (start + farthest_points(span, EXEMPLARS, weights)).tolist()
        start += len(weights)
    return ([keys[row] for row in kept], vectors[kept]) if len(kept) < len(keys) else (keys, vectors)


def exemplars(model_version: str, kind: str, supports: Sequence[Support]) -> tuple[list[Support], FloatArray]:
    """Those of these supports that show their subject by a vector of ``kind``, and the vectors (M, D)."""
    shown = _vectors(model_version, kind, sorted({row.post_id for row in supports}, key=str))
    positive = [row for row in supports if row.positive]
    return readable([(row, data) for row in positive for data in _shows(row, kind, shown.get(row.post_id, []))])


@dataclass(frozen=True, slots=True)
class _Shown:
    number: int
    box: Box | None
    data: bytes


def _vectors(model_version: str, kind: str, post_ids: Sequence[Any]) -> dict[Any, list[_Shown]]:
    found: dict[Any, list[_Shown]] = defaultdict(list)
    for start in range(0, len(post_ids), CHUNK):
        rows = Vector.objects.filter(
            model_version=model_version, kind=kind, post_id__in=post_ids[start : start + CHUNK]
        )
        for post_id, number, box, data in rows.order_by("number").values_list("post_id", "number", "box", "data"):
            found[post_id].append(_Shown(number, box_of(box), bytes(data)))
    return found


def _analysed(model_version: str, post_ids: Sequence[Any]) -> QuerySet[Vector]:
    return Vector.objects.filter(model_version=model_version, post_id__in=post_ids)


def _waiting(model_version: str, post_ids: Sequence[Any]) -> tuple[Any, ...]:
    waiting: list[Any] = []
    for start in range(0, len(post_ids), CHUNK):
        chunk = post_ids[start : start + CHUNK]
        done = set(_analysed(model_version, chunk).values_list("post_id", flat=True))
        waiting += [post_id for post_id in chunk if post_id not in done]
    return tuple(waiting[:WAITING])


def _shows(support: Support, kind: str, shown: Sequence[_Shown]) -> list[bytes]:
    """Which of the post's vectors of ``kind`` speak for this support.

    A chosen face is found again by its place, since another detector may number faces differently. The only face of a
    whole picture shows its subject, too; of several it would be a guess. A picture that does *not* show the subject
    shows it in none of its faces.
    """
    if kind != Vector.Kind.FACE:
        return [item.data for item in shown] if support.kind == kind else []
    if support.kind == Vector.Kind.FACE:
        chosen = box_of(support.box)
        if chosen:
            best = max(shown, key=lambda item: overlap(chosen, item.box), default=None)
            return [best.data] if best and overlap(chosen, best.box) >= 0.3 else []
        return [item.data for item in shown if item.number == support.number]
    if support.kind == Vector.Kind.PICTURE and (len(shown) == 1 or not support.positive):
        return [item.data for item in shown]
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


def _reach(model_version: str, kind: str) -> tuple[int, int]:
    """The space's lowest id, and its highest rounded down so far that it changes only as the board grows by a tenth."""
    ends = Vector.objects.filter(model_version=model_version, kind=kind).aggregate(low=Min("id"), high=Max("id"))
    low, high = ends["low"] or 0, ends["high"] or 0
    unit = 1 << max(high.bit_length() - 4, 0)
    return low, high // unit * unit


def _background(model_version: str, kind: str, without: set[Any]) -> FloatArray:
    """(≤ BACKGROUND, D) vectors of the board's other posts, spread over its history, the same in every process."""
    low, high = _reach(model_version, kind)
    if not high:
        return np.zeros((0, 0), dtype=np.float32)
    draw = random.Random(f"{model_version} {kind} {high}")  # noqa: S311 - a sample, not a secret
    spaces = 16 * BACKGROUND
    ids = range(low, high + 1) if high - low < spaces else {draw.randint(low, high) for _ in range(spaces)}
    rows = Vector.objects.filter(model_version=model_version, kind=kind, id__in=list(ids))
    posts = dict(rows.order_by("id").values_list("id", "post_id"))
    others = [id_ for id_, post in posts.items() if post not in without]
    chosen = sorted(draw.sample(others, min(BACKGROUND, len(others))))
    return readable(list(Vector.objects.filter(pk__in=chosen).order_by("id").values_list("id", "data")))[1]
