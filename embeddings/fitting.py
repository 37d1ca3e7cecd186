"""Calibration of one space from labelled pictures: a logistic is fitted to the outcomes of played galleries."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from booru_ml.errors import InvalidInput
from booru_ml.evaluation.scores import calibration_error
from booru_ml.types import FloatArray
from embeddings import measures, methods
from embeddings.chances import BARS, Calibration
from embeddings.games import Labelled, Outcomes, game, join, join_looks, playable
from embeddings.logistic import fit_odds
from embeddings.methods import METHODS, SupportSet
from embeddings.methods.exemplars import Exemplars
from embeddings.prototypes import fit_method

WAYS = (1, 2, 4, 8, 16, 32)
SHOTS = (1, 2, 5, 10)
BACKGROUNDS = (0, 16, 64, *[256] * 6)
"""Pictures of strangers that a board has beside those enrolled. Nearly every board has the most, so these games weigh
most; the others teach how much less can be said where there are few."""
SHARPNESS = (10.0, 20.0, 40.0, 80.0)
FLOORS = (0.0, 0.5, 1.0, 1.5, 2.0)
LOOKS = 3
CLEARLY = 0.005
"""OSCR that a method must be better by to displace a simpler one."""


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
    sets: Sequence[Labelled], *, seed: int = 0, games: int = 200, twin: float | None = None, method: str | None = None
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
        fitted, loss = fit_odds(tried, [_play(one, tried, random, games=games) for one in sets])
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


def _share(flags: npt.NDArray[np.bool_]) -> float:
    return float(flags.mean()) if len(flags) else float("nan")
