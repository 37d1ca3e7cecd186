"""Played galleries: a few classes are enrolled by a few pictures each, others of theirs and strangers are asked about.

Support and query never share a group (a source picture, a post). The rule that serves uploads weighs them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import cached_property

import numpy as np
import numpy.typing as npt

from booru_ml.errors import InvalidInput
from booru_ml.types import FloatArray
from embeddings import sampling
from embeddings.chances import Calibration
from embeddings.methods import SupportSet, normalise
from embeddings.prototypes import Supports, weigh
from embeddings.types import IntArray

QUERIES = 5

FloatVector = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Labelled:
    """A set of pictures: ``vectors`` (N, D) L2-normalised, the class and the group of each."""

    vectors: FloatArray
    labels: npt.NDArray[np.str_]
    groups: npt.NDArray[np.str_]

    @cached_property
    def classes(self) -> dict[str, sampling.Groups]:
        return sampling.classes(self.labels.tolist(), self.groups.tolist())


@dataclass(frozen=True, slots=True, eq=False)
class Outcomes:
    """What the likeliest subject of each query scored, and whether it was right.

    ``alike``, ``shortage``: as ``Calibration`` has them. ``weight``: a game's outcomes weigh 1 together. ``known``: the
    query's class was enrolled; ``correct``: and it came first; ``third``: it was among the first three.
    """

    standard: FloatVector
    lead: FloatVector
    count: FloatVector
    size: FloatVector
    alike: FloatVector
    shortage: FloatVector
    weight: FloatVector
    chance: FloatVector
    known: npt.NDArray[np.bool_]
    correct: npt.NDArray[np.bool_]
    third: npt.NDArray[np.bool_]


def normalised(vectors: FloatArray, labels: Sequence[str], groups: Sequence[str]) -> Labelled:
    """A set out of plain sequences."""
    return Labelled(normalise(vectors), np.array(labels, dtype=np.str_), np.array(groups, dtype=np.str_))


def playable(one: Labelled) -> list[str]:
    """Classes with at least two groups, so that one can be asked about from another."""
    return [name for name, groups in one.classes.items() if len(groups) > 1]


def join_looks(one: Labelled, looks: int, *, seed: int = 0) -> tuple[Labelled, IntArray]:
    """As if each ``looks`` classes were one character's costumes, drawn at random; and which rows are left, as classes
    left over are dropped."""
    names = np.random.default_rng(seed).permutation(np.unique(one.labels))
    wearer = {str(name): f"{number // looks}" for number, name in enumerate(names[: len(names) // looks * looks])}
    kept = np.flatnonzero(np.isin(one.labels, list(wearer)))
    joined = np.array([wearer[str(name)] for name in one.labels[kept]], dtype=np.str_)
    return Labelled(one.vectors[kept], joined, one.groups[kept]), kept


def game(
    one: Labelled,
    calibration: Calibration,
    random: np.random.Generator,
    ways: int,
    shots: int,
    background: int,
    *,
    queries: int = QUERIES,
) -> Outcomes:
    """Enrols ``ways`` classes by ``shots`` pictures each, or as many as they have, and asks about others of theirs and
    as many of strangers; about none that shares a group with an enrolled picture, of whatever class. Raises
    ``InvalidInput`` where nobody is left to be a stranger."""
    pools = one.classes
    order = random.permutation([name for name, groups in pools.items() if len(groups) > 1])
    enrolled = order[:ways]
    strange = np.flatnonzero(~np.isin(one.labels, enrolled))
    if len(order) <= ways or not len(strange):
        raise InvalidInput(f"{ways} classes of {len(order)} leave no stranger to ask about.")
    most = [min(shots, sampling.most_shots(pools[name])) for name in enrolled]
    parts = [
        sampling.split(pools[name], random, shots=own, queries=queries)
        for name, own in zip(enrolled, most, strict=True)
    ]
    rows = np.concatenate([shown for shown, _ in parts])
    sizes = np.array([len(shown) for shown, _ in parts])
    asked = [sampling.apart(rest, rows, one.groups) for _, rest in parts]
    strangers = sampling.apart(random.permutation(strange), rows, one.groups)[: sum(map(len, asked))]
    pictures = np.concatenate([*asked, strangers])
    truth = np.repeat([*range(ways), -1], [*map(len, asked), len(strangers)])
    # On a board of thousands hardly any picture shows one who is enrolled; in a small set half of them would.
    board = np.setdiff1d(strange, pictures)
    others = random.choice(board, min(background, len(board)), replace=False)
    shown_set = SupportSet.of(one.vectors[rows], np.cumsum(sizes) - sizes, background=one.vectors[others])
    supports = Supports.of(shown_set, calibration)
    found = weigh(one.vectors[pictures], supports, calibration)
    order = np.argsort(-found.standard, axis=1)
    places, first = np.arange(len(truth)), order[:, 0]
    return Outcomes(
        standard=found.standard[places, first].astype(np.float64),
        lead=found.lead[places, first].astype(np.float64),
        count=np.full(len(truth), float(ways)),
        size=supports.sizes[first].astype(np.float64),
        alike=supports.alike[first].astype(np.float64),
        shortage=np.full(len(truth), calibration.shortage(len(others))),
        weight=np.full(len(truth), 1 / max(len(truth), 1)),
        chance=found.chances[places, first].astype(np.float64),
        known=truth >= 0,
        correct=first == truth,
        third=(order[:, :3] == truth[:, None]).any(axis=1),
    )


def join(played: Sequence[Outcomes]) -> Outcomes:
    names = [item.name for item in fields(Outcomes)]
    return Outcomes(*(np.concatenate([getattr(item, name) for item in played]) for name in names))
