"""Calibration of one space from labelled pictures: galleries are played, then a logistic is fitted to their outcomes.

A played gallery enrols a few classes from a few pictures each; other pictures of theirs and as many of strangers are
the queries. Support and query never share a group (a source picture, a post). The rule that serves uploads weighs them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields, replace
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from booru_ml.errors import InvalidInput
from booru_ml.evaluation.scores import calibration_error
from booru_ml.types import FloatArray
from embeddings import measures, methods, sampling
from embeddings.chances import BARS, Calibration
from embeddings.methods import METHODS, SupportSet, normalise
from embeddings.methods.exemplars import Exemplars
from embeddings.prototypes import Supports, fit_method, weigh
from embeddings.types import IntArray

WAYS = (1, 2, 4, 8, 16, 32)
SHOTS = (1, 2, 5, 10)
QUERIES = 5
BACKGROUNDS = (0, 16, 64, 256, 256)
"""Pictures of strangers that a board has beside those enrolled; the last is what nearly every board has."""
SHARPNESS = (10.0, 20.0, 40.0, 80.0)
FLOORS = (0.0, 0.5, 1.0, 1.5, 2.0)
CROWD = -1.0
"""How odds go with the logarithm of the number of subjects: the more there are, the likelier a stranger looks like one
by chance, in proportion. Sets of a few dozen classes cannot show it, and what they seem to show would be believed for
thousands."""
LOOKS = 3
CLEARLY = 0.005
"""OSCR that a method must be better by to displace a simpler one."""

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


@dataclass(frozen=True, slots=True)
class Trial:
    """How a method did in games where a character has one look, and where it has ``LOOKS``: OSCR, 0–1."""

    method: str
    sharpness: float | None
    one_look: float
    several_looks: float

    @property
    def mean(self) -> float:
        return (self.one_look + self.several_looks) / 2


@dataclass(frozen=True, slots=True)
class Fitted:
    calibration: Calibration
    trials: tuple[Trial, ...]


def fit(
    sets: Sequence[Labelled], *, seed: int = 0, games: int = 40, twin: float | None = None, method: str | None = None
) -> Fitted:
    """The best method, and the constants under which the outcomes of galleries played with it are likeliest.

    ``method`` names one instead of the best. Raises ``InvalidInput``.
    """
    if not sets:
        raise InvalidInput("Give at least one set of labelled pictures.")
    trials = compare(sets, seed=seed, games=max(games // 4, 2), method=method)
    # A simpler method (an earlier one) stays unless another is clearly better.
    top = max(trial.mean for trial in trials)
    chosen = next(trial for trial in trials if trial.mean >= top - CLEARLY)
    base = _strangers(sets, _of(chosen, twin))
    best: tuple[float, Calibration] | None = None
    for floor in FLOORS:
        tried = replace(base, floor=floor)
        random = np.random.default_rng(seed)
        fitted, loss = _logistic(tried, [_play(one, tried, random, games=games) for one in sets])
        if best is None or loss < best[0] - 1e-4:
            best = (loss, fitted)
    fitted = base if best is None else best[1]
    said = asdict(replace(fitted, **_bars(sets, fitted, seed=seed, games=games)))
    rounded = {name: value if name == "method" else round(value, 4) for name, value in said.items()}
    return Fitted(Calibration(**rounded), tuple(trials))


def compare(sets: Sequence[Labelled], *, seed: int = 0, games: int = 10, method: str | None = None) -> list[Trial]:
    """Each method in the same games, simpler ones first. OSCR asks for the right name and for none where nobody fits,
    at whatever bar, so no calibration is needed to compare."""
    costumed = [joined for one in sets if len(playable(joined := join_looks(one, LOOKS, seed=seed)[0])) > 2]
    trials = []
    for kind in METHODS if method is None else (methods.named(method),):
        for sharpness in SHARPNESS if kind is Exemplars else (None,):
            trial = Trial(kind.name, sharpness, 0, 0)
            plain = _open_set(sets, _of(trial, None), seed=seed, games=games)
            several = _open_set(costumed, _of(trial, None), seed=seed, games=games) if costumed else plain
            trials.append(replace(trial, one_look=plain, several_looks=several))
    return trials


def _bars(sets: Sequence[Labelled], calibration: Calibration, *, seed: int, games: int) -> dict[str, Any]:
    """The probabilities that these shares of strangers reach, over all sets alike."""
    played = [_play(one, calibration, np.random.default_rng(seed + 1), games=games) for one in sets]
    return {
        name: float(np.mean([measures.bar_for(one.chance[~one.known], rate) for one in played])) for rate, name in BARS
    }


def _of(trial: Trial, twin: float | None) -> Calibration:
    usual = Calibration()
    return Calibration(
        method=trial.method,
        sharpness=usual.sharpness if trial.sharpness is None else trial.sharpness,
        twin=usual.twin if twin is None else twin,
    )


def _open_set(sets: Sequence[Labelled], calibration: Calibration, *, seed: int, games: int) -> float:
    tried = _strangers(sets, calibration)
    found = []
    for one in sets:
        played = _play(one, tried, np.random.default_rng(seed), games=games)
        known = played.known
        found.append(measures.oscr(played.chance[known], played.correct[known], played.chance[~known]))
    return float(np.mean(found))


def join_looks(one: Labelled, looks: int, *, seed: int = 0) -> tuple[Labelled, IntArray]:
    """As if each ``looks`` classes were one character's costumes, drawn at random; and which rows are left, as classes
    left over are dropped."""
    names = np.random.default_rng(seed).permutation(np.unique(one.labels))
    wearer = {str(name): f"{number // looks}" for number, name in enumerate(names[: len(names) // looks * looks])}
    kept = np.flatnonzero(np.isin(one.labels, list(wearer)))
    joined = np.array([wearer[str(name)] for name in one.labels[kept]], dtype=np.str_)
    return Labelled(one.vectors[kept], joined, one.groups[kept]), kept


def measure(
    one: Labelled, calibration: Calibration, *, ways: int, shots: int, least: float, seed: int = 0, games: int = 100
) -> Report:
    """How recognition does with this many subjects and pictures of each; ``least`` is the probability to be named."""
    random = np.random.default_rng(seed)
    outcomes = join([game(one, calibration, random, ways, shots, 256) for _ in range(games)])
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
        auroc=measures.auroc(outcomes.chance[outcomes.correct], outcomes.chance[strangers]),
        ece=calibration_error(outcomes.chance, outcomes.correct),
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
    return [name for name, groups in one.classes.items() if len(groups) > 1]


def _strangers(sets: Sequence[Labelled], calibration: Calibration) -> Calibration:
    """With what pictures of different classes have in common in the method's space, over all sets alike."""
    levels, spreads, drifts = [], [], []
    for one in sets:
        if len(playable(one)) < 2:
            raise InvalidInput("A set needs two classes with pictures from two sources each.")
        random = np.random.default_rng(0)
        some = random.choice(len(one.labels), min(len(one.labels), 2000), replace=False)
        some = some[np.argsort(one.labels[some], kind="stable")]
        starts = np.unique(one.labels[some], return_index=True)[1]
        shown = SupportSet.of(one.vectors[some], starts, background=one.vectors[some])
        vectors = fit_method(shown, calibration).support.exemplars
        cosines = vectors @ vectors.T
        cosines[one.labels[some][:, None] == one.labels[some]] = np.nan
        means = np.nanmean(cosines, axis=1)
        levels.append(means.mean())
        drifts.append(means.std())
        spreads.append(np.nanstd(cosines, axis=1).mean())
    return replace(
        calibration, level=float(np.mean(levels)), spread=float(np.mean(spreads)), drift=float(np.mean(drifts))
    )


def _play(one: Labelled, calibration: Calibration, random: np.random.Generator, *, games: int) -> Outcomes:
    most = len(playable(one)) - 1
    played = []
    for _ in range(games):
        for ways in sorted({min(ways, most) for ways in WAYS}):
            shots, strangers = random.choice(SHOTS), random.choice(BACKGROUNDS)
            played.append(game(one, calibration, random, ways, int(shots), int(strangers)))
    return join(played)


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
    as many of strangers. Raises ``InvalidInput`` where nobody is left to be a stranger."""
    pools = one.classes
    order = random.permutation([name for name, groups in pools.items() if len(groups) > 1])
    enrolled = order[:ways]
    strange = np.flatnonzero(~np.isin(one.labels, enrolled))
    if len(order) <= ways or not len(strange):
        raise InvalidInput(f"{ways} classes of {len(order)} leave no stranger to ask about.")
    support: list[npt.NDArray[np.int64]] = []
    asked: list[tuple[int, int]] = []
    for place, name in enumerate(enrolled):
        most = min(shots, sampling.most_shots(pools[name]))
        shown, rest = sampling.split(pools[name], random, shots=most, queries=queries)
        support.append(shown)
        asked += [(int(picture), place) for picture in rest]
    sizes = np.array([len(shown) for shown in support])
    asked += [(int(picture), -1) for picture in random.permutation(strange)[: len(asked)]]
    rows = np.concatenate(support)
    # On a board of thousands hardly any picture shows one who is enrolled; in a small set half of them would.
    board = np.setdiff1d(strange, [picture for picture, _ in asked])
    others = random.choice(board, min(background, len(board)), replace=False)
    shown_set = SupportSet.of(one.vectors[rows], np.cumsum(sizes) - sizes, background=one.vectors[others])
    supports = Supports.of(shown_set, calibration)
    pictures, truth = (np.array(column) for column in zip(*asked, strict=True))
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
        weight=np.full(len(truth), 1 / len(truth)),
        chance=found.chances[places, first].astype(np.float64),
        known=truth >= 0,
        correct=first == truth,
        third=(order[:, :3] == truth[:, None]).any(axis=1),
    )


def join(played: Sequence[Outcomes]) -> Outcomes:
    names = [item.name for item in fields(Outcomes)]
    return Outcomes(*(np.concatenate([getattr(item, name) for item in played]) for name in names))


def _logistic(calibration: Calibration, played: Sequence[Outcomes]) -> tuple[Calibration, float]:
    """Coefficients by Newton's method with a touch of ridge, and the log loss; sets weigh alike, so do their games.

    Evidence never speaks against its subject, however little background there is: a coefficient that would is held at
    zero. That of the subjects' number is ``CROWD``.
    """
    rows = join(played)
    weights = np.concatenate([item.weight / item.weight.sum() for item in played]) / len(played)
    crowd = CROWD * np.log(rows.count)
    usual = [rows.standard, rows.lead, -np.log(rows.size), np.ones(len(rows.count))]
    single = np.isnan(rows.alike)
    likeness = [np.where(single, 0.0, rows.alike), single.astype(np.float64)]
    table = np.stack([*usual, rows.standard * rows.shortage, rows.shortage, *likeness], axis=1)
    target = rows.correct.astype(np.float64)
    free = list(range(table.shape[1]))
    while True:
        found = np.zeros(table.shape[1])
        found[free] = _newton(table[:, free], target, weights, crowd)
        worst = {0: found[0], 1: found[1], 4: found[0] + found[4]}
        against = [column for column in free if worst.get(column, 0.0) < 0]
        if not against:
            break
        free.remove(min(against, key=lambda column: worst[column]))
    chance = np.clip(1 / (1 + np.exp(-np.clip(table @ found + crowd, -60, 60))), 1e-9, 1 - 1e-9)
    loss = -float(weights @ (target * np.log(chance) + (1 - target) * np.log(1 - chance)))
    score, margin, supports, bias, blur, blind, alike, one = (float(value) for value in found)
    fitted = replace(calibration, score=score, margin=margin, subjects=CROWD, supports=-supports, bias=bias)
    return replace(fitted, blur=blur, blind=blind, alike=alike, single=one), loss


def _newton(table: FloatVector, target: FloatVector, weights: FloatVector, offset: FloatVector) -> FloatVector:
    """Coefficients of ``table``'s columns beside what ``offset`` gives each row."""
    found = np.zeros(table.shape[1])
    ridge = 1e-4 * np.eye(table.shape[1])
    for _ in range(50):
        chance = 1 / (1 + np.exp(-np.clip(table @ found + offset, -60, 60)))
        slope = table.T @ (weights * (target - chance)) - ridge @ found
        curve = (table * (weights * chance * (1 - chance))[:, None]).T @ table + ridge
        step = np.linalg.solve(curve, slope)
        found += step
        if np.abs(step).max() < 1e-8:
            break
    return found


def _share(flags: npt.NDArray[np.bool_]) -> float:
    return float(flags.mean()) if len(flags) else float("nan")


def normalised(vectors: FloatArray, labels: Sequence[str], groups: Sequence[str]) -> Labelled:
    """A set out of plain sequences."""
    return Labelled(normalise(vectors), np.array(labels, dtype=np.str_), np.array(groups, dtype=np.str_))
