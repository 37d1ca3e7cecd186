"""Health of the gallery as people read it: vectors in, names and support pictures out."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from django.db.models import Q

from booru_ml.types import FloatArray
from embeddings import gallery, health
from embeddings.calibration import active_version, calibration
from embeddings.models import Subject, Support
from embeddings.recognition import KINDS
from embeddings.revisions import Revision, revision
from embeddings.services.subjects import find
from embeddings.types import Checkup, IntArray, Suspicion

STRANGER = 2.0
"""From so many standard deviations above the strangers' mean on, a picture is like another by more than chance."""


@dataclass(frozen=True, slots=True, eq=False)
class Ward:
    """Everybody's exemplars of one kind, subject by subject."""

    subjects: tuple[int, ...]
    names: tuple[str, ...]
    supports: tuple[int, ...]
    posts: tuple[object, ...]
    exemplars: FloatArray
    starts: IntArray


def checkup(subject_id: int) -> tuple[Checkup, ...]:
    """One subject's health, by each kind of vector that shows it (whole pictures, faces); a disabled one's, too.

    Raises ``NotFound``.
    """
    subject = find(subject_id)
    return checkups([subject], category=subject.category)[subject.pk]


def checkups(subjects: Sequence[Subject], *, category: str) -> dict[int, tuple[Checkup, ...]]:
    """The health of these subjects of one category, every given one present."""
    version = active_version()
    found: dict[int, list[Checkup]] = {subject.pk: [] for subject in subjects}
    also = {subject.pk for subject in subjects if not subject.enabled}
    for kind in KINDS[category]:
        ward = _ward(version, kind, category, frozenset(also))
        constants = calibration(version, kind)
        places = [place for place, key in enumerate(ward.subjects) if key in found]
        stranger = constants.level + STRANGER * constants.spread
        for result in health.examine(ward.exemplars, ward.starts, places, stranger=stranger):
            found[ward.subjects[result.place]].append(_told(result, kind, ward))
    return {key: tuple(items) for key, items in found.items()}


def _told(result: health.Health, kind: str, ward: Ward) -> Checkup:
    def name(place: int) -> str | None:
        return ward.names[place] if place >= 0 else None

    return Checkup(
        kind=kind,
        supports=result.supports,
        consistency=result.consistency,
        rival_id=ward.subjects[result.rival_place] if result.rival_place >= 0 else None,
        rival=name(result.rival_place),
        similarity=result.rival if result.rival_place >= 0 else None,
        suspicions=tuple(
            Suspicion(
                support_id=ward.supports[item.row],
                post_id=ward.posts[item.row],
                own=item.own,
                rival_similarity=item.rival if item.rival_place >= 0 else None,
                rival=name(item.rival_place),
                reason="rival" if item.margin < 0 else "lonely",
            )
            for item in result.suspects
        ),
    )


_held: dict[tuple[str, str, str, frozenset[int]], tuple[Revision, Ward]] = {}
_lock = threading.Lock()


def _ward(version: str, kind: str, category: str, also: frozenset[int]) -> Ward:
    """Read anew where the gallery's revision is another; a few are kept in this process."""
    key, now = (version, kind, category, also), revision()
    with _lock:
        if key not in _held or _held[key][0] != now:
            while len(_held) >= 3:
                _held.pop(next(iter(_held)))
            _held[key] = now, _read(version, kind, category, also)
        return _held[key][1]


def _read(version: str, kind: str, category: str, also: frozenset[int]) -> Ward:
    supports = Support.objects.filter(Q(subject__enabled=True) | Q(subject_id__in=also), subject__category=category)
    rows = supports.filter(positive=True).select_related("subject").order_by("subject_id", "id")
    known, exemplars = gallery.exemplars(version, kind, list(rows))
    owners = np.array([row.subject_id for row in known], dtype=np.int64)
    starts = np.flatnonzero(np.diff(owners, prepend=-1))
    return Ward(
        subjects=tuple(owners[starts].tolist()),
        names=tuple(known[start].subject.name for start in starts),
        supports=tuple(row.pk for row in known),
        posts=tuple(row.post_id for row in known),
        exemplars=exemplars,
        starts=starts,
    )
