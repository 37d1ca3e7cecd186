"""Few-shot recognition as pure functions: similarities in, honest probabilities out.

A method (``embeddings.methods``) says how well queries fit subjects; here its scores meet strangers (``norms``),
rejections and rivals, and become probabilities (``chances``). Arrays: Q queries, M exemplars, N subjects, K rejected
and B background pictures. Vectors are L2-normalised, so products are cosines.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields, replace

import numpy as np
import numpy.typing as npt

from booru_ml.types import FloatArray
from embeddings import methods
from embeddings.chances import Calibration, margins, probability
from embeddings.methods import Fitted, SupportSet
from embeddings.norms import likeness, standardise, strangeness
from embeddings.shortlist import Shortlist
from embeddings.types import IntArray


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
