"""How sure a figure is: bootstrap intervals over groups, and tests of two models on the same pictures."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from booru_ml.errors import InvalidInput
from booru_ml.evaluation.answers import Answers, Index, Names, Table
from booru_ml.progress import track

Metric = Callable[[Answers], float]
RESAMPLES = 1000


@dataclass(frozen=True, slots=True)
class Interval:
    """A figure with its 95 % interval."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.3f} ({self.low:.3f} to {self.high:.3f})"

    @property
    def bounds(self) -> list[float]:
        return [self.low, self.high]


@dataclass(frozen=True, slots=True)
class Difference:
    """First less second model; ``p``: how often chance alone would put as much between them (two-sided)."""

    first: float
    second: float
    difference: Interval
    p: float
    test: str

    def __str__(self) -> str:
        return f"{self.first:.3f} and {self.second:.3f}, difference {self.difference}, p = {self.p:.3g} ({self.test})"


def bootstrap(
    answers: Answers, metrics: Mapping[str, Metric], *, resamples: int = RESAMPLES, seed: int = 0
) -> dict[str, Interval]:
    """Percentile intervals (Efron 1979) of the metrics; whole groups are drawn, as their pictures are alike."""
    drawn: dict[str, list[float]] = {name: [] for name in metrics}
    with warnings.catch_warnings(action="ignore"):  # a draw that misses a class is a draw
        for rows in _resampled(answers.groups, resamples, seed):
            some = answers.take(rows)
            for name, metric in metrics.items():
                drawn[name].append(metric(some))
        return {name: _interval(metric(answers), drawn[name]) for name, metric in metrics.items()}


def paired(
    first: Answers, second: Answers, metrics: Mapping[str, Metric], *, resamples: int = RESAMPLES, seed: int = 0
) -> dict[str, Difference]:
    """Each metric's difference, by a bootstrap that draws the same groups for both. Raises ``InvalidInput``."""
    if first.paths != second.paths or first.classes != second.classes or not np.array_equal(first.truth, second.truth):
        raise InvalidInput("The two models were not asked about the same pictures and classes.")
    drawn: dict[str, list[float]] = {name: [] for name in metrics}
    with warnings.catch_warnings(action="ignore"):  # a draw that misses a class is a draw
        for rows in _resampled(first.groups, resamples, seed):
            one, other = first.take(rows), second.take(rows)
            for name, metric in metrics.items():
                drawn[name].append(metric(one) - metric(other))
        found = {}
        for name, metric in metrics.items():
            left, right = metric(first), metric(second)
            values = np.array(drawn[name])
            values = values[np.isfinite(values)]
            tail = min(int((values <= 0).sum()), int((values >= 0).sum()))
            p = min(1.0, 2 * (tail + 1) / (len(values) + 1)) if len(values) else float("nan")
            found[name] = Difference(left, right, _interval(left - right, drawn[name]), p, "paired bootstrap")
        return found


def mcnemar(first: Answers, second: Answers) -> float:
    """Exact p of McNemar's test (1947) on the pictures that only one of the two has right; pictures count singly."""
    from scipy.stats import binomtest

    only_first = int((first.right & ~second.right).sum())
    only_second = int((second.right & ~first.right).sum())
    if not only_first + only_second:
        return 1.0
    return float(binomtest(only_first, only_first + only_second).pvalue)


def _resampled(groups: Names, resamples: int, seed: int) -> Iterator[Index]:
    random = np.random.default_rng(seed)
    members = _members(groups)
    if len(members) < 2:
        raise InvalidInput("An interval needs pictures of two groups or more.")
    for _ in track(range(resamples), "Bootstrap"):
        drawn = random.integers(len(members), size=len(members))
        yield np.concatenate([members[number] for number in drawn])


def _members(groups: Names) -> Sequence[Index]:
    _, index = np.unique(groups, return_inverse=True)
    order = np.argsort(index, kind="stable")
    return np.split(order, np.cumsum(np.bincount(index))[:-1])


def _interval(value: float, drawn: Sequence[float]) -> Interval:
    values: Table = np.array(drawn, np.float64)
    if not np.isfinite(values).any():
        return Interval(value, float("nan"), float("nan"))
    low, high = (float(edge) for edge in np.nanpercentile(values, [2.5, 97.5]))
    return Interval(value, low, high)
