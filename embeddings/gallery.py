"""Everybody who can be recognised, as arrays in this process; never older than the database by a second.

A snapshot belongs to one space: a model version and a kind of vector (pictures and faces show characters, styles show
artists). It is replaced when the ``Gallery`` row says another revision, which every service that changes subjects,
supports or their vectors makes it do. What changes without a service (a post's deletion takes its supports along) and
what crosses it (a vector that arrives while its post is being enrolled) is noticed by a second look, twice a second.
Only whom a change touched is read again; everybody is where that is not known, and now and then to be safe.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from booru_ml.types import FloatArray
from embeddings import members, shown, strangers
from embeddings.calibration import calibration
from embeddings.chances import Calibration
from embeddings.members import Counts, Instead, Member, Members
from embeddings.methods import SupportSet
from embeddings.models import Support
from embeddings.prototypes import Former, Supports
from embeddings.revisions import Revision, revision, touched
from embeddings.shown import Read
from embeddings.strangers import BACKGROUND, Strangers

LOOK_SECONDS = 0.5
TOGETHER_SECONDS = 0.1
"""For how long one count of the supports serves all spaces of a question."""
GROWN_SECONDS = 30.0
"""How often a board is asked whether it has outgrown its background, once that is complete."""
WAITING = 1000
KEPT = 6

FEW = 1000
"""So many subjects are read by name; of more, everybody is."""
WHOLE_SECONDS = 3600.0
"""After so long a change has everybody read again, which mends what no service told of."""


@dataclass(frozen=True, slots=True, eq=False)
class Snapshot:
    """One space's subjects, in the order of ``supports``."""

    revision: Revision
    whole_at: float
    """when everybody was read, by this process's clock"""
    counts: Counts
    """of everybody's supports, before they were read"""
    support_count: int
    """how many these are"""
    reach: int
    """how far the background goes (see ``strangers.reach``)"""
    waiting: tuple[Any, ...]
    """support posts without any vector yet, ``WAITING`` of them at most"""
    subjects: tuple[tuple[int, str, str], ...]
    """(id, name, category)"""
    posts: tuple[Any, ...]
    """(M,) the post that each exemplar comes from"""
    members: Members
    read: Read
    """the exemplars as they stand in the database; ``supports`` has them in the method's space"""
    rejected: Read
    strangers: Strangers
    supports: Supports
    calibration: Calibration


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


def load(model_version: str, kind: str, *, instead: Instead | None = None, held: Snapshot | None = None) -> Snapshot:
    """Reads the space from the database. The revision is read first: what comes later makes it stale, never wrong.

    ``instead``: supports that subjects would have, so that a gallery is tried that nobody wrote yet. ``held``: a former
    snapshot of the space, from which everything is taken over that did not change.
    """
    at, counts, now = revision(), members.counted(), time.monotonic()
    constants, far = calibration(model_version, kind), strangers.reach(model_version, kind)[1]
    only = _changed(held, model_version, at, counts, now) if held and not instead else None
    rest = held if only is not None else None  # whose other subjects stay as they are
    known = (held.read, held.rejected) if held else None
    found, read, rejected = members.read(model_version, kind, only=only, instead=instead or {}, known=known)
    if rest and not (shown.alike(read, rest.read) and shown.alike(rejected, rest.rejected)):
        return load(model_version, kind)  # another length rules the space from now on
    if rest and only is not None:
        kept = {key: member for key, member in rest.members.items() if key not in only}
        found = dict(sorted((kept | found).items()))
    showing = [member for member in found.values() if member.shows]
    exemplars = [item for member in showing for item in member.shows]
    refused = [(place, key) for place, member in enumerate(showing) for key in member.shows_not]
    if rest:
        read = shown.joined([item.key for item in exemplars], read, rest.read)
        rejected = shown.joined([key for _, key in refused], rejected, rest.rejected)
    sizes = np.array([len(member.shows) for member in showing], dtype=np.int64)
    others = strangers.draw(model_version, kind, frozenset().union(*(member.posts for member in found.values())))
    return Snapshot(
        revision=at,
        whole_at=rest.whole_at if rest else now,
        counts=counts,
        support_count=sum(count for count, _ in counts.values()),
        reach=far,
        waiting=tuple(sorted(_waiting(found), key=str)[:WAITING]),
        subjects=tuple((member.id, member.name, member.category) for member in showing),
        posts=tuple(item.post_id for item in exemplars),
        members=found,
        read=read,
        rejected=rejected,
        strangers=others,
        supports=Supports.of(
            SupportSet.of(
                read.vectors,
                np.cumsum(sizes) - sizes,
                weights=np.array([item.weight for item in exemplars], dtype=np.float32),
                background=others.vectors,
            ),
            constants,
            negatives=rejected.vectors,
            owners=np.array([place for place, _ in refused], dtype=np.int64),
            former=_former(held, showing, others, constants),
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


def _changed(held: Snapshot, model_version: str, at: Revision, counts: Counts, now: float) -> set[int] | None:
    """The subjects that may have changed since; None where that is not known, or so many that all are read."""
    found = touched(held.revision, at)
    if found is None or now - held.whole_at >= WHOLE_SECONDS:
        return None
    found |= {key for key in counts.keys() | held.counts.keys() if counts.get(key) != held.counts.get(key)}
    arrived = shown.analysed(model_version, _waiting(held.members))
    found |= {key for key, member in held.members.items() if member.waiting & arrived}
    return found if len(found) <= FEW else None


def _waiting(found: Members) -> set[Any]:
    """Support posts without any vector yet."""
    return {post for member in found.values() for post in member.waiting}


def _former(
    held: Snapshot | None, showing: Sequence[Member], others: Strangers, constants: Calibration
) -> Former | None:
    """Which subjects and strangers are as they were."""
    if held is None or held.calibration != constants:
        return None
    before = {subject_id: place for place, (subject_id, _, _) in enumerate(held.subjects)}
    same = [
        before[item.id] if item.id in before and held.members[item.id].shows == item.shows else -1 for item in showing
    ]
    rows = {id_: row for row, id_ in enumerate(held.strangers.ids)}
    return Former(
        supports=held.supports,
        subjects=np.array(same, dtype=np.int64),
        strangers=np.array([rows.get(id_, -1) for id_ in others.ids], dtype=np.int64),
    )
