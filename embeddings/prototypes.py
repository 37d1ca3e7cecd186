"""Few-shot recognition as pure functions: similarities in, honest probabilities out.

A method (``embeddings.methods``) says how well queries fit subjects; here its scores meet strangers, rejections and
rivals, and become probabilities. Arrays: Q queries, M exemplars, N subjects, K rejected and B background pictures.
Vectors are L2-normalised, so products are cosines.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields, replace

import numpy as np
import numpy.typing as npt

from booru_ml.types import FloatArray
from embeddings import methods
from embeddings.methods import Fitted, SupportSet
from embeddings.shortlist import Shortlist
from embeddings.types import IntArray


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """``booru.recognition.<kind>`` of the embedding checkpoint's config.json; the defaults suit no encoder exactly.

    ``method``: the name of one of ``embeddings.methods``; ``sharpness``: its b, where it is ``exemplars``.
    ``level``, ``spread``: mean and standard deviation of a picture's cosines to strangers; ``drift``: how far the mean
    wanders from picture to picture. ``weight``: how many background pictures those two numbers stand for.
    ``floor``: the standardised score that a stranger reaches where no other subject is enrolled.
    ``score``, ``margin``, ``subjects``, ``supports``, ``bias``: P = σ(score·s₁ + margin·(s₁ − s₂) + subjects·log n +
    supports·log k + bias) over standardised scores, n subjects being compared and k exemplars showing this one.
    ``alike``, ``single``: alike·a is added, a being how many standard deviations above strangers' the mean cosine of
    two exemplars of this one is, or ``single`` where it has one only: where they differ, less is asked of a picture.
    ``blind``, ``blur``: blind + blur·s₁ is added where there is no background to see what strangers are like, and in
    proportion to ``shortage`` where there is little.
    ``bar10`` … ``bar1``: the probability that 10, 5, 2 and 1 % of strangers reach.
    ``twin``: cosine from which two files show the same picture (re-encoded, resized).
    """

    method: str = "exemplars"
    sharpness: float = 20.0
    level: float = 0.1
    spread: float = 0.1
    drift: float = 0.05
    weight: float = 64.0
    floor: float = 1.0
    score: float = 1.2
    margin: float = 0.8
    subjects: float = -0.5
    supports: float = 0.0
    bias: float = -3.0
    alike: float = 0.0
    single: float = 0.0
    blind: float = 0.0
    blur: float = 0.0
    bar10: float = 0.3
    bar5: float = 0.45
    bar2: float = 0.65
    bar1: float = 0.75
    twin: float = 0.985

    def shortage(self, background: int) -> float:
        """1 where there are no background pictures to measure strangers by, towards 0 the more there are."""
        return self.weight / (self.weight + background)

    def bar(self, rate: float) -> float:
        """The probability from which no more than a share ``rate`` (0–1) of strangers would be named.

        Between the measured shares it is read off a straight line through their logarithms; beyond them, the odds of a
        stranger's being named fall or rise in proportion.
        """
        known = np.log([share for share, _ in BARS])
        odds = [logit(getattr(self, name)) for _, name in BARS]
        wanted = float(np.log(min(max(rate, 1e-6), 1.0)))
        inside = float(np.interp(wanted, known[::-1], odds[::-1]))
        beyond = min(wanted - known[-1], 0.0) + max(wanted - known[0], 0.0)
        return float(1 / (1 + np.exp(beyond - inside)))


BARS = ((0.1, "bar10"), (0.05, "bar5"), (0.02, "bar2"), (0.01, "bar1"))
"""Shares of strangers, and the constants that say which probability they reach."""


def logit(chance: float) -> float:
    return float(np.log(max(chance, 1e-6) / max(1 - chance, 1e-6)))


def _nobody() -> IntArray:
    return np.zeros(0, dtype=np.int64)


def fit_method(support: SupportSet, calibration: Calibration) -> Fitted:
    """The calibration's method, fitted."""
    return methods.named(calibration.method).build(sharpness=calibration.sharpness).fit(support)


@dataclass(frozen=True, slots=True, eq=False)
class Supports:
    """What queries are compared with, in the method's own space; ``of`` makes what is derived.

    ``negatives`` (K, D) are known not to be the subject whose place ``owners`` (K,) holds. What strangers score against
    each subject has the mean ``levels`` (N,) and the standard deviation ``spreads`` (N,). ``count``: how many subjects
    a query is compared with in all, of whom these may be the likeliest only. ``strange`` (B, N): what each stranger
    scores against each subject; it is where ``levels`` and ``spreads`` come from. ``alike`` (N,): as ``Calibration``
    has it; NaN for a subject with one exemplar.
    """

    fitted: Fitted
    negatives: FloatArray
    owners: IntArray
    levels: FloatArray
    spreads: FloatArray
    strange: FloatArray
    alike: FloatArray
    count: int
    shortlist: Shortlist | None

    @classmethod
    def of(
        cls,
        support: SupportSet,
        calibration: Calibration,
        *,
        negatives: FloatArray | None = None,
        owners: IntArray | None = None,
        former: Former | None = None,
    ) -> Supports:
        """``former`` spares what did not change; the answers are the same."""
        fitted = fit_method(support, calibration)
        # A space that every change turns anew has no scores to take over.
        still = former and fitted.projection.leaves_alone and former.supports.fitted.projection.leaves_alone
        usable = former if still else None
        strange = strangers_scores(fitted, usable)
        levels, spreads = strangeness(strange, calibration)
        return cls(
            fitted=fitted,
            negatives=support.exemplars[:0] if negatives is None else fitted.projection(negatives),
            owners=_nobody() if owners is None else owners,
            levels=levels,
            spreads=spreads,
            strange=strange,
            alike=_likeness(fitted, calibration, usable),
            count=len(support.starts),
            shortlist=Shortlist.of(
                fitted.support.exemplars, support.starts, like=former.supports.shortlist if former else None
            ),
        )

    @property
    def sizes(self) -> IntArray:
        """(N,) how many exemplars each subject has."""
        return self.fitted.support.sizes

    def span(self, place: int) -> slice:
        """Where the exemplars of the subject at ``place`` are."""
        start = int(self.fitted.support.starts[place])
        return slice(start, start + int(self.sizes[place]))

    def take(self, places: IntArray) -> Supports:
        """These subjects only, ascending; ``count`` stays."""
        where = np.searchsorted(places, self.owners)
        kept = np.flatnonzero(places[np.minimum(where, len(places) - 1)] == self.owners) if len(places) else _nobody()
        return replace(
            self,
            fitted=self.fitted.take(places),
            negatives=self.negatives[kept],
            owners=where[kept],
            levels=self.levels[places],
            spreads=self.spreads[places],
            strange=self.strange[:, :0],
            alike=self.alike[places],
            shortlist=None,
        )


@dataclass(frozen=True, slots=True, eq=False)
class Former:
    """The supports before a change: the place in them of each subject (N,) and stranger (B,) of now that is as it was,
    -1 for the others."""

    supports: Supports
    subjects: IntArray
    strangers: IntArray


@dataclass(frozen=True, slots=True, eq=False)
class Weighed:
    """Queries against subjects: ``similar`` (Q, M) cosines; (Q, N) each: raw ``scores``, ``standard`` deviations above
    a stranger, ``lead`` over the best rival, ``vetoed`` pairs and ``chances``, the probabilities."""

    similar: FloatArray
    scores: FloatArray
    standard: FloatArray
    lead: FloatArray
    vetoed: npt.NDArray[np.bool_]
    chances: FloatArray

    def row(self, number: int) -> Weighed:
        """One query's, still as (1, …)."""
        return Weighed(*(getattr(self, item.name)[number : number + 1] for item in fields(self)))


def weigh_likely(
    queries: FloatArray, supports: Supports, calibration: Calibration
) -> Iterator[tuple[IntArray, Weighed]]:
    """For each query in turn its likeliest subjects' places, ascending, and how they weigh (one row): all subjects,
    or those of the shortlist."""
    if supports.shortlist is None:
        everybody = np.arange(supports.count)
        found = weigh(queries, supports, calibration)
        for row in range(len(queries)):
            yield everybody, found.row(row)
    else:
        for query, places in zip(
            queries, supports.shortlist.likeliest(supports.fitted.projection(queries)), strict=True
        ):
            yield places, weigh(query[None], supports.take(places), calibration)


def weigh(queries: FloatArray, supports: Supports, calibration: Calibration) -> Weighed:
    """Compares L2-normalised queries (Q, D) with at least one subject."""
    fitted, support = supports.fitted, supports.fitted.support
    queries = fitted.projection(queries)
    similar = queries @ support.exemplars.T
    scores = fitted.method.score(similar, queries @ fitted.means.T, fitted)
    forbidden = np.zeros(scores.shape, dtype=bool)
    if len(supports.owners):
        positive = np.maximum.reduceat(similar, support.starts, axis=1)
        negative = best_of(queries @ supports.negatives.T, supports.owners, scores.shape[1])
        forbidden = vetoed(positive, negative, calibration.twin)
        scores = push_down(scores, positive, negative)
    fair = calibration.level + (scores - supports.levels) * (calibration.spread / supports.spreads)
    standard = standardise(fair.astype(np.float32), queries @ support.background.T, calibration)
    lead = margins(np.where(forbidden, -np.inf, standard), calibration.floor)
    shortage = calibration.shortage(len(support.background))
    chances = probability(
        standard, lead, supports.sizes, supports.alike, calibration, count=supports.count, shortage=shortage
    )
    return Weighed(similar, scores, standard, lead, forbidden, np.where(forbidden, 0, chances))


def best_of(similarities: FloatArray, owners: IntArray, count: int) -> FloatArray:
    """(Q, count): for each owner its best column of (Q, K) similarities; -1 where it has none."""
    best = np.full((count, len(similarities)), -1.0, dtype=np.float32)
    np.maximum.at(best, owners, similarities.T)
    return best.T


def push_down(scores: FloatArray, positive: FloatArray, negative: FloatArray) -> FloatArray:
    """(Q, N) scores lowered where a "not this one" is nearer than any exemplar, twice by how much."""
    return np.asarray(scores - 2 * np.maximum(negative - positive, 0), dtype=np.float32)


def vetoed(positive: FloatArray, negative: FloatArray, twin: float) -> npt.NDArray[np.bool_]:
    """(Q, N) whether the query is the very picture that was rejected for the subject, in whatever file."""
    return (negative >= twin) & (negative >= positive)


def standardise(scores: FloatArray, background: FloatArray, calibration: Calibration) -> FloatArray:
    """(Q, N) scores in standard deviations above what this picture has in common with strangers.

    The strangers are the board's own pictures, ``background`` (Q, B), as T-norm does it (Auckenthaler et al. 2000),
    shrunk towards the calibration's constants while they are few. Those who are enrolled stand among them: the mean
    may move by two drifts and the deviation grow by a fifth, so that a board full of one character still sees it.
    """
    mean, deviation = _shrunk(background, calibration, reach=2 * calibration.drift, axis=1)
    return np.asarray((scores - mean) / deviation, dtype=np.float32)


def strangers_scores(fitted: Fitted, former: Former | None = None) -> FloatArray:
    """(B, N) what each stranger of the background scores against each subject."""
    support = fitted.support
    everybody, subjects = support.background, len(support.starts)
    if former is None:
        return _scores(everybody, fitted)
    scores = np.empty((len(everybody), subjects), dtype=np.float32)
    old, known = former.subjects >= 0, former.strangers >= 0
    scores[np.ix_(known, old)] = former.supports.strange[np.ix_(former.strangers[known], former.subjects[old])]
    scores[~known] = _scores(everybody[~known], fitted)
    scores[:, ~old] = _scores(everybody, fitted.take(np.flatnonzero(~old)))
    return scores


def _scores(queries: FloatArray, fitted: Fitted) -> FloatArray:
    if not len(queries) or not len(fitted.means):
        return np.zeros((len(queries), len(fitted.means)), dtype=np.float32)
    return fitted.method.score(queries @ fitted.support.exemplars.T, queries @ fitted.means.T, fitted)


def _likeness(fitted: Fitted, calibration: Calibration, former: Former | None) -> FloatArray:
    """``likeness``, of what changed only."""
    if former is None:
        return likeness(fitted.support, calibration)
    old = former.subjects >= 0
    alike = np.empty(len(old), dtype=np.float32)
    alike[old] = former.supports.alike[former.subjects[old]]
    alike[~old] = likeness(fitted.take(np.flatnonzero(~old)).support, calibration)
    return alike


def likeness(support: SupportSet, calibration: Calibration) -> FloatArray:
    """(N,) the mean cosine of two exemplars of each subject, in standard deviations above strangers'; NaN for one only.

    Of k vectors of length 1 the pairs' cosines add up to (‖sum‖² − k) / 2.
    """
    if not len(support.starts):
        return np.zeros(0, dtype=np.float32)
    sizes = support.sizes
    sums = np.add.reduceat(support.exemplars, support.starts, axis=0)
    pairs = np.where(sizes > 1, sizes * (sizes - 1), np.nan)
    mean = (np.square(sums).sum(axis=1) - sizes) / pairs
    return np.asarray((mean - calibration.level) / calibration.spread, dtype=np.float32)


def strangeness(scores: FloatArray, calibration: Calibration) -> tuple[FloatArray, FloatArray]:
    """Mean and standard deviation (N,) of what strangers score against each subject, from (B, N).

    The other side of the same coin (Z-norm): a subject with many or with plain pictures is near to everybody, and must
    not be named for that. Shrunk and bounded as in ``standardise``.
    """
    mean, deviation = _shrunk(scores, calibration, reach=2 * calibration.spread, axis=0)
    return mean[0], deviation[0]


def _shrunk(cosines: FloatArray, calibration: Calibration, *, reach: float, axis: int) -> tuple[FloatArray, FloatArray]:
    """Mean and deviation along ``axis``, bounded, and nearer to the calibration's the fewer cosines there are."""
    count = cosines.shape[axis]
    if not count:
        shape = (cosines.shape[0], 1) if axis else (1, cosines.shape[1])
        full = np.ones(shape, dtype=np.float32)
        return full * np.float32(calibration.level), full * np.float32(calibration.spread)
    mean = np.clip(cosines.mean(axis=axis, keepdims=True), calibration.level - reach, calibration.level + reach)
    usual = calibration.spread**2
    variance = np.clip(cosines.var(axis=axis, keepdims=True), 0.25 * usual, 1.44 * usual)
    share = 1 - calibration.shortage(count)
    level = calibration.level + share * (mean - calibration.level)
    return np.asarray(level, dtype=np.float32), np.asarray(
        np.sqrt(usual + share * (variance - usual)), dtype=np.float32
    )


def margins(scores: FloatArray, floor: float) -> FloatArray:
    """(Q, N): each subject's lead over the best other one, or over ``floor`` where that is higher."""
    queries, count = scores.shape
    if count < 2:
        return scores - floor
    order = np.argsort(scores, axis=1)
    rows = np.arange(queries)
    first, second = order[:, -1], order[:, -2]
    rival = np.repeat(scores[rows, first][:, None], count, axis=1)
    rival[rows, first] = scores[rows, second]
    return scores - np.maximum(rival, floor)


def probability(
    scores: FloatArray,
    lead: FloatArray,
    sizes: IntArray,
    alike: FloatArray,
    calibration: Calibration,
    *,
    count: int,
    shortage: float,
) -> FloatArray:
    """(Q, N) logistic probability that the subject is in the picture, from standardised scores and margins.

    ``sizes``, ``alike`` (N,): how many exemplars each subject has, and how alike they are; ``count``: how many
    subjects there are.
    """
    logits = (
        (calibration.score + calibration.blur * shortage) * scores
        + calibration.margin * lead
        + calibration.subjects * np.log(max(count, 1))
        + calibration.supports * np.log(np.maximum(sizes, 1))
        + calibration.bias
        + np.where(np.isnan(alike), calibration.single, calibration.alike * alike)
        + calibration.blind * shortage
    )
    return np.asarray(1 / (1 + np.exp(-np.clip(logits, -60, 60))), dtype=np.float32)
