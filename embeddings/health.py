"""How well subjects are known: consistency, rivals, and supports that may be mislabelled. Pure, by leaving one out.

Exemplars (M, D), L2-normalised, stand together by subject; ``starts`` (N,) says where each begins. A support is
compared as an upload would be: with the exemplars and the mean of every other subject on the one side, with those of
its own without itself on the other. Where another subject is nearer, or its own are no nearer than a stranger would be,
a person should look.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from booru_ml.types import FloatArray
from embeddings.methods import normalise
from embeddings.types import IntArray

ROWS = 2048
"""Exemplars compared at a time: with 50,000 of them a chunk takes 400 MB."""


@dataclass(frozen=True, slots=True, eq=False)
class Left:
    """What leaving each exemplar out (M,) says. Values are cosines.

    ``own``: to the nearest of its subject's other exemplars and their mean; -1 for a subject's only one. ``rival``: the
    same of the other subject that fits best, and ``rival_place`` which that is; -1 where there is no other.
    """

    own: FloatArray
    rival: FloatArray
    rival_place: IntArray


@dataclass(frozen=True, slots=True)
class Health:
    """A subject at ``place``. ``consistency`` 0–1: how many of its supports are nearer to the others than to any rival;
    None where there is but one. ``rival_place`` is the subject most like it (-1: there is no other), ``rival`` how much
    (cosine of the means)."""

    place: int
    supports: int
    consistency: float | None
    rival_place: int
    rival: float
    suspects: tuple[Suspect, ...]


@dataclass(frozen=True, slots=True)
class Suspect:
    """An exemplar (its row) to look at. ``margin`` < 0: so much nearer to ``rival_place``; ``lonely``: like none."""

    row: int
    own: float
    rival: float
    rival_place: int
    lonely: bool

    @property
    def margin(self) -> float:
        return self.own - self.rival


def leave_one_out(exemplars: FloatArray, starts: IntArray, rows: IntArray) -> Left:
    """Compares the exemplars ``rows`` with everybody, each without itself."""
    count, total = len(starts), len(exemplars)
    sizes = np.diff(np.append(starts, total))
    owners = np.repeat(np.arange(count), sizes)
    sums = np.add.reduceat(exemplars, starts, axis=0)
    means = normalise(sums)
    own, rival, place = (np.empty(len(rows), np.float32) for _ in range(3))
    for start in range(0, len(rows), ROWS):
        chosen = rows[start : start + ROWS]
        at = np.arange(len(chosen))
        queries, mine = exemplars[chosen], owners[chosen]
        similar = queries @ exemplars.T
        similar[at, chosen] = -1.0  # itself
        nearest = np.maximum.reduceat(similar, starts, axis=1)
        best = np.maximum(nearest, queries @ means.T)
        rest = normalise(sums[mine] - queries)
        others = np.where(sizes[mine] > 1, np.einsum("qd,qd->q", queries, rest), -1.0)
        part = slice(start, start + len(chosen))
        own[part] = np.where(sizes[mine] > 1, np.maximum(nearest[at, mine], others), -1.0)
        best[at, mine] = -1.0
        place[part] = best.argmax(axis=1) if count > 1 else -1
        rival[part] = best.max(axis=1)
    return Left(own, rival, place.astype(np.int64))


def examine(exemplars: FloatArray, starts: IntArray, places: Sequence[int], *, stranger: float) -> Iterator[Health]:
    """The health of the subjects at ``places``. ``stranger``: the cosine that pictures of nobody seldom reach."""
    if not len(starts) or not len(places):
        return
    ends = np.append(starts[1:], len(exemplars))
    rows = np.concatenate([np.arange(starts[place], ends[place]) for place in places])
    left = leave_one_out(exemplars, starts, rows)
    means = normalise(np.add.reduceat(exemplars, starts, axis=0))
    first = 0
    for place in places:
        size = int(ends[place] - starts[place])
        span = slice(first, first + size)
        first += size
        like = means @ means[place]
        like[place] = -np.inf
        nearest = int(like.argmax()) if len(starts) > 1 else -1
        margin = left.own[span] - left.rival[span]
        lonely = left.own[span] < stranger
        suspects = [
            Suspect(
                row=int(starts[place]) + number,
                own=float(left.own[span][number]),
                rival=float(left.rival[span][number]),
                rival_place=int(left.rival_place[span][number]),
                lonely=bool(lonely[number]),
            )
            for number in np.argsort(margin, kind="stable")
            if size > 1 and (margin[number] < 0 or lonely[number])
        ]
        yield Health(
            place=int(place),
            supports=size,
            consistency=float((margin > 0).mean()) if size > 1 else None,
            rival_place=nearest,
            rival=float(like[nearest]) if nearest >= 0 else -1.0,
            suspects=tuple(suspects),
        )
