"""Calibration of one space from labelled pictures: galleries are played, then a logistic is fitted to their outcomes.

A played gallery enrols a few classes from a few pictures each; other pictures of theirs and as many of strangers are
the queries. Support and query never share a group (a source picture, a post). The rule that serves uploads weighs them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace

import numpy as np
import numpy.typing as npt

from booru_ml.errors import InvalidInput
from booru_ml.types import FloatArray
from embeddings.prototypes import Calibration, Supports, normalise, weigh

WAYS = (1, 2, 4, 8, 16, 32)
SHOTS = (1, 2, 5, 10)
QUERIES = 5
BACKGROUNDS = (0, 32, 256)
SHARPNESS = (10.0, 20.0, 40.0, 80.0)
FLOORS = (0.0, 0.5, 1.0, 1.5, 2.0)

FloatVector = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Labelled:
    """A set of pictures: ``vectors`` (N, D) L2-normalised, the class and the group of each."""

    vectors: FloatArray
    labels: npt.NDArray[np.str_]
    groups: npt.NDArray[np.str_]


@dataclass(frozen=True, slots=True, eq=False)
class Outcomes:
    """What the likeliest subject of each query scored, and whether it was right.

    ``weight``: a game's outcomes weigh 1 together. ``known``: the query's class was enrolled; ``correct``: and it came
    first; ``third``: it was among the first three.
    """

    standard: FloatVector
    lead: FloatVector
    count: FloatVector
    size: FloatVector
    weight: FloatVector
    chance: FloatVector
    known: npt.NDArray[np.bool_]
    correct: npt.NDArray[np.bool_]
    third: npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Report:
    """Shares (0–1) of queries. Of known ones: first place right, right among three, answered "unknown", and named
    wrongly. Of strangers: named at all. ``auroc``: known and right against strangers; ``ece``: calibration error."""

    ways: int
    shots: int
    top1: float
    top3: float
    unknown: float
    wrong: float
    false_known: float
    auroc: float
    ece: float


def fit(sets: Sequence[Labelled], *, seed: int = 0, games: int = 40, twin: float | None = None) -> Calibration:
    """The calibration under which the outcomes of played galleries are likeliest. Raises ``InvalidInput``."""
    base = _strangers(sets)
    best: tuple[float, Calibration] | None = None
    for sharpness in SHARPNESS:
        for floor in FLOORS:
            tried = replace(base, sharpness=sharpness, floor=floor, twin=base.twin if twin is None else twin)
            random = np.random.default_rng(seed)
            played = [_play(one, tried, random, games=games) for one in sets]
            fitted, loss = _logistic(tried, played)
            if best is None or loss < best[0] - 1e-4:
                best = (loss, fitted)
    if best is None:
        raise InvalidInput("Give at least one set of labelled pictures.")
    return Calibration(**{name: round(value, 4) for name, value in asdict(best[1]).items()})


def measure(
    one: Labelled, calibration: Calibration, *, ways: int, shots: int, least: float, seed: int = 0, games: int = 100
) -> Report:
    """How recognition does with this many subjects and pictures of each; ``least`` is the probability to be named."""
    random = np.random.default_rng(seed)
    outcomes = _join([_game(one, calibration, random, ways, shots, 256) for _ in range(games)])
    named = outcomes.chance >= least
    known, strangers = outcomes.known, ~outcomes.known
    return Report(
        ways=ways,
        shots=shots,
        top1=_share(outcomes.correct[known]),
        top3=_share(outcomes.third[known]),
        unknown=_share(~named[known]),
        wrong=_share((named & ~outcomes.correct)[known]),
        false_known=_share(named[strangers]),
        auroc=_auroc(outcomes.chance[outcomes.correct], outcomes.chance[strangers]),
        ece=_calibration_error(outcomes.chance, outcomes.correct),
    )


def twin_bar(pictures: FloatArray, copies: FloatArray) -> float:
    """The cosine from which two files show one picture: nine in ten (N, D) re-encoded copies reach it.

    Never so low that one in a hundred thousand pairs of different pictures would.
    """
    same = np.quantile((pictures * copies).sum(axis=1), 0.1)
    cosines = pictures @ pictures.T
    different = np.quantile(cosines[np.triu_indices(len(pictures), 1)], 0.99999) if len(pictures) > 1 else 0.0
    return round(float(max(same, different)), 4)


def playable(one: Labelled) -> list[str]:
    """Classes with at least two groups, so that one can be asked about from another."""
    return [str(name) for name in np.unique(one.labels) if len(set(one.groups[one.labels == name])) >= 2]


def _strangers(sets: Sequence[Labelled]) -> Calibration:
    """What pictures of different classes have in common, over all sets alike."""
    levels, spreads, drifts = [], [], []
    for one in sets:
        if len(playable(one)) < 2:
            raise InvalidInput("A set needs two classes with pictures from two sources each.")
        random = np.random.default_rng(0)
        some = random.choice(len(one.labels), min(len(one.labels), 2000), replace=False)
        cosines = one.vectors[some] @ one.vectors[some].T
        cosines[one.labels[some][:, None] == one.labels[some]] = np.nan
        means = np.nanmean(cosines, axis=1)
        levels.append(means.mean())
        drifts.append(means.std())
        spreads.append(np.nanstd(cosines, axis=1).mean())
    return Calibration(level=float(np.mean(levels)), spread=float(np.mean(spreads)), drift=float(np.mean(drifts)))


def _play(one: Labelled, calibration: Calibration, random: np.random.Generator, *, games: int) -> Outcomes:
    most = len(playable(one)) - 1
    played = []
    for _ in range(games):
        for ways in sorted({min(ways, most) for ways in WAYS}):
            shots, strangers = random.choice(SHOTS), random.choice(BACKGROUNDS)
            played.append(_game(one, calibration, random, ways, int(shots), int(strangers)))
    return _join(played)


def _game(
    one: Labelled, calibration: Calibration, random: np.random.Generator, ways: int, shots: int, background: int
) -> Outcomes:
    classes = random.permutation(playable(one))
    enrolled, strange = classes[:ways], classes[ways:]
    if not len(strange):
        raise InvalidInput(f"{ways} classes of {len(classes)} leave no stranger to ask about.")
    support: list[int] = []
    starts: list[int] = []
    asked: list[tuple[int, int]] = []
    for place, name in enumerate(enrolled):
        shown, rest = _split(one, name, random, shots)
        starts.append(len(support))
        support += shown
        asked += [(picture, place) for picture in rest]
    unknown = random.permutation(np.flatnonzero(np.isin(one.labels, strange)))[: max(len(asked), 1)]
    asked += [(int(picture), -1) for picture in unknown]
    board = np.setdiff1d(np.arange(len(one.labels)), support)
    others = random.choice(board, min(background, len(board)), replace=False)
    supports = Supports.of(one.vectors[support], np.array(starts), calibration, background=one.vectors[others])
    pictures, truth = (np.array(column) for column in zip(*asked, strict=True))
    found = weigh(one.vectors[pictures], supports, calibration)
    order = np.argsort(-found.standard, axis=1)
    rows, first = np.arange(len(truth)), order[:, 0]
    return Outcomes(
        standard=found.standard[rows, first].astype(np.float64),
        lead=found.lead[rows, first].astype(np.float64),
        count=np.full(len(truth), float(ways)),
        size=supports.sizes[first].astype(np.float64),
        weight=np.full(len(truth), 1 / len(truth)),
        chance=found.chances[rows, first].astype(np.float64),
        known=truth >= 0,
        correct=first == truth,
        third=(order[:, :3] == truth[:, None]).any(axis=1),
    )


def _split(one: Labelled, name: str, random: np.random.Generator, shots: int) -> tuple[list[int], list[int]]:
    """Support and query pictures of a class that share no group; at least one group is left to ask about."""
    pictures = random.permutation(np.flatnonzero(one.labels == name))
    groups = list(dict.fromkeys(one.groups[pictures]))
    shown: list[int] = []
    used: set[str] = set()
    for picture in pictures:
        if len(shown) >= shots or (one.groups[picture] not in used and len(used) + 1 >= len(groups)):
            break
        shown.append(int(picture))
        used.add(str(one.groups[picture]))
    rest = [int(picture) for picture in pictures if one.groups[picture] not in used]
    return shown, rest[:QUERIES]


def _join(played: Sequence[Outcomes]) -> Outcomes:
    columns = ("standard", "lead", "count", "size", "weight", "chance", "known", "correct", "third")
    return Outcomes(*(np.concatenate([getattr(item, name) for item in played]) for name in columns))


def _logistic(calibration: Calibration, played: Sequence[Outcomes]) -> tuple[Calibration, float]:
    """Coefficients by Newton's method with a touch of ridge, and the log loss; sets weigh alike, so do their games.

    Evidence never speaks against its subject: a coefficient that would is held at zero.
    """
    rows = _join(played)
    weights = np.concatenate([item.weight / item.weight.sum() for item in played]) / len(played)
    ones = np.ones(len(rows.count))
    table = np.stack([rows.standard, rows.lead, -np.log(rows.count), -np.log(rows.size), ones], axis=1)
    target = rows.correct.astype(np.float64)
    free = [0, 1, 2, 3, 4]
    while True:
        found = np.zeros(5)
        found[free] = _newton(table[:, free], target, weights)
        against = [column for column in free if column < 3 and found[column] < 0]
        if not against:
            break
        free.remove(min(against, key=lambda column: found[column]))
    chance = np.clip(1 / (1 + np.exp(-np.clip(table @ found, -60, 60))), 1e-9, 1 - 1e-9)
    loss = -float(weights @ (target * np.log(chance) + (1 - target) * np.log(1 - chance)))
    score, margin, subjects, supports, bias = (float(value) for value in found)
    named = {"score": score, "margin": margin, "subjects": -subjects, "supports": -supports, "bias": bias}
    return replace(calibration, **named), loss


def _newton(table: FloatVector, target: FloatVector, weights: FloatVector) -> FloatVector:
    found = np.zeros(table.shape[1])
    ridge = 1e-4 * np.eye(table.shape[1])
    for _ in range(50):
        chance = 1 / (1 + np.exp(-np.clip(table @ found, -60, 60)))
        slope = table.T @ (weights * (target - chance)) - ridge @ found
        curve = (table * (weights * chance * (1 - chance))[:, None]).T @ table + ridge
        step = np.linalg.solve(curve, slope)
        found += step
        if np.abs(step).max() < 1e-8:
            break
    return found


def _share(flags: npt.NDArray[np.bool_]) -> float:
    return float(flags.mean()) if len(flags) else float("nan")


def _auroc(high: FloatVector, low: FloatVector) -> float:
    """The chance that one of ``high`` exceeds one of ``low``, ties counting half."""
    if not len(high) or not len(low):
        return float("nan")
    ordered = np.sort(low)
    below, upto = np.searchsorted(ordered, high, "left"), np.searchsorted(ordered, high, "right")
    return float((below + upto).mean() / 2 / len(low))


def _calibration_error(chance: FloatVector, correct: npt.NDArray[np.bool_], bins: int = 15) -> float:
    """Expected calibration error over equal-width bins (Guo et al. 2017)."""
    return float(sum(share * abs(said - true) for share, said, true in _bins(chance, correct, bins)))


def _bins(chance: FloatVector, correct: npt.NDArray[np.bool_], bins: int) -> Iterator[tuple[float, float, float]]:
    place = np.minimum((chance * bins).astype(int), bins - 1)
    for number in range(bins):
        inside = place == number
        if inside.any():
            yield float(inside.mean()), float(chance[inside].mean()), float(correct[inside].mean())


def normalised(vectors: FloatArray, labels: Sequence[str], groups: Sequence[str]) -> Labelled:
    """A set out of plain sequences."""
    return Labelled(normalise(vectors), np.array(labels, dtype=np.str_), np.array(groups, dtype=np.str_))
