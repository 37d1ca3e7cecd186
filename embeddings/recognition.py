"""Who is in these pictures? Questions in, matches out; the gallery's snapshots do the comparing."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from booru_ml.conf import config
from booru_ml.types import Analysis, Box, Category, FloatArray
from embeddings import gallery, prototypes
from embeddings.calibration import active_version, calibration
from embeddings.chances import Calibration
from embeddings.gallery import Snapshot
from embeddings.methods import normalise
from embeddings.models import Subject, Vector
from embeddings.revisions import revision
from embeddings.store import box_of, decode
from embeddings.types import IntArray, Match

Read = Callable[[str, str], Snapshot]

KINDS: dict[str, tuple[str, ...]] = {
    Subject.Category.CHARACTER: (Vector.Kind.PICTURE, Vector.Kind.FACE),
    Subject.Category.ARTIST: (Vector.Kind.STYLE,),
}
"""By which vectors the subjects of a category are known."""


@dataclass(frozen=True, slots=True, eq=False)
class View:
    """One vector to ask about: of the picture, of its style, or of a face (``number``, ``box``)."""

    kind: str
    vector: FloatArray
    number: int | None = None
    box: Box | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Question:
    """One picture's vectors, all of one model version."""

    post_id: Any
    model_version: str
    views: tuple[View, ...]


def question(analysis: Analysis) -> Question | None:
    """What a fresh analysis asks; nothing where the picture was refused."""
    finding = analysis.finding
    if finding is None:
        return None
    views = [View(Vector.Kind.PICTURE, finding.embedding), View(Vector.Kind.STYLE, finding.style)]
    views += [View(Vector.Kind.FACE, face.embedding, number, face.box) for number, face in enumerate(finding.faces)]
    usable = tuple(replace(view, vector=normalise(view.vector)) for view in views if view.vector.size)
    return Question(analysis.post_id, finding.embedding_model, usable)


def stored_questions(post_ids: Sequence[Any], model_version: str) -> list[Question]:
    """What posts ask that were embedded by ``model_version`` already."""
    rows = Vector.objects.of_posts(post_ids, model_version=model_version).order_by("post_id", "kind", "number")
    views: dict[Any, list[View]] = {}
    for row in rows:
        face = row.kind == Vector.Kind.FACE
        view = View(row.kind, decode([row.data])[0], row.number if face else None, box_of(row.box))
        views.setdefault(row.post_id, []).append(view)
    return [Question(post_id, model_version, tuple(found)) for post_id, found in views.items()]


def answer(questions: Sequence[Question], *, read: Read | None = None) -> list[tuple[Match, ...]]:
    """Matches for each question, the most probable first; at most one per subject.

    ``read`` gives the snapshot of a space where another gallery than the present one is asked.
    """
    read = read or partial(gallery.room.snapshot, known=revision())
    found: list[list[Match]] = [[] for _ in questions]
    spaces: dict[tuple[str, str], list[tuple[int, View]]] = {}
    for number, item in enumerate(questions):
        for view in item.views:
            spaces.setdefault((item.model_version, view.kind), []).append((number, view))
    for (model_version, kind), asked in spaces.items():
        snapshot = read(model_version, kind)
        if not snapshot.subjects:
            continue
        queries = np.stack([view.vector for _, view in asked])
        for (number, view), matches in zip(asked, compare(queries, snapshot), strict=True):
            found[number] += [replace(match, face=view.number, box=view.box) for match in matches]
    return [fuse(matches) for matches in found]


def compare(queries: FloatArray, snapshot: Snapshot) -> list[list[Match]]:
    """The likeliest subjects of each query (Q, D), best first; only the first may be known.

    Raises ``ValueError`` where the queries are of another length than the gallery's vectors.
    """
    supports, least = snapshot.supports, bar(snapshot.calibration)
    guess = snapshot.calibration == Calibration()
    answers = []
    for places, found in prototypes.weigh_likely(queries, supports, snapshot.calibration):
        best = _best(found.chances[0], found.standard[0], config().SUGGESTIONS_PER_SUBJECT)
        ends = np.cumsum(supports.sizes[places])
        matches = []
        for rank, number in enumerate(int(item) for item in best if not found.vetoed[0, item]):
            subject_id, name, category = snapshot.subjects[places[number]]
            posts = snapshot.posts[supports.span(int(places[number]))]
            near = np.argsort(-found.similar[0, ends[number] - len(posts) : ends[number]], kind="stable")[:3]
            chance = float(found.chances[0, number])
            matches.append(
                Match(
                    subject_id=subject_id,
                    name=name,
                    category=Category(category),
                    probability=chance,
                    similarity=float(found.scores[0, number]),
                    margin=float(found.lead[0, number]),
                    support_count=len(posts),
                    known=rank == 0 and chance >= least,
                    nearest_post_ids=tuple(dict.fromkeys(posts[int(item)] for item in near)),
                    gallery_revision=snapshot.revision[0],
                    guess=guess,
                )
            )
        answers.append(matches)
    return answers


def bar(calibration: Calibration) -> float:
    """The probability from which a subject is named: that which no more than ``STRANGERS_NAMED`` of strangers reach,
    where that is set, else ``UNKNOWN_BELOW``."""
    rate = config().STRANGERS_NAMED
    return calibration.bar(rate) if rate else config().UNKNOWN_BELOW


def lowest_bar(category: str) -> float:
    """The probability below which nobody of this category is named by any kind of vector."""
    if not config().STRANGERS_NAMED:
        return config().UNKNOWN_BELOW
    version = active_version()
    return min(bar(calibration(version, kind)) for kind in KINDS[category])


def _best(chances: FloatArray, standard: FloatArray, count: int) -> IntArray:
    """Places of the ``count`` highest chances (N,), ties broken by the standardised score."""
    many = len(chances) > 4 * count
    some = np.argpartition(-chances, 2 * count)[: 2 * count] if many else np.arange(len(chances))
    return some[np.lexsort((-standard[some], -chances[some]))][:count]


def fuse(matches: Iterable[Match]) -> tuple[Match, ...]:
    """One match per subject out of what picture, faces and style said: the surest word, with a face where one agrees.

    Each face is a question of its own, so the surest word counts and doubts elsewhere do not: a second character in the
    picture is no evidence against the first.
    """
    by_subject: dict[int, list[Match]] = {}
    for match in matches:
        by_subject.setdefault(match.subject_id, []).append(match)
    fused = []
    for said in by_subject.values():
        best = max(said, key=lambda item: (item.known, item.probability))
        if best.face is None:
            face = max((m for m in said if m.face is not None and m.known), key=lambda m: m.probability, default=None)
            if face:
                best = replace(best, face=face.face, box=face.box)
        fused.append(best)
    return tuple(sorted(fused, key=lambda item: (-item.known, -item.probability, item.name)))
