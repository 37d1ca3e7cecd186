"""Few-shot episodes (Vinyals et al. 2016): some classes, a few pictures of each, and whose are the others?"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from booru_ml.types import FloatArray
from embeddings import sampling
from embeddings.games import Labelled
from embeddings.methods import Method, SupportSet, normalise
from embeddings.types import IntArray

BACKGROUND = 256
"""As many strangers as the gallery of a board looks at."""
TRIES = 4


@dataclass(frozen=True, slots=True, eq=False)
class Episode:
    """Rows of the set: ``support`` stands together by class from ``starts`` on; ``truth`` are the queries' classes."""

    support: IntArray
    starts: IntArray
    queries: IntArray
    truth: IntArray
    background: IntArray


@dataclass(frozen=True, slots=True)
class Result:
    """Accuracy 0–1: mean of the episodes' and half of its 95 % confidence interval; seconds to fit and compare."""

    method: str
    ways: int
    shots: int
    accuracy: float
    ci95: float
    seconds_per_query: float


def episodes(one: Labelled, *, ways: int, shots: int, queries: int, count: int, seed: int) -> Iterator[Episode]:
    """``count`` episodes; none where fewer than ``ways`` classes have ``shots`` pictures beside another group's.

    A group may be in several classes (one picture that shows two characters): what shares one with any support is not
    asked about. Draws that leave nothing to ask about are made again, ``TRIES`` times as many at most.
    """
    random = np.random.default_rng(seed)
    able = [name for name, groups in one.classes.items() if sampling.most_shots(groups) >= shots]
    if len(able) < ways:
        return
    played = 0
    for _ in range(TRIES * count):
        chosen = random.choice(able, ways, replace=False)
        parts = [sampling.split(one.classes[name], random, shots=shots, queries=queries) for name in chosen]
        others = np.flatnonzero(~np.isin(one.labels, chosen))
        support = np.concatenate([shown for shown, _ in parts])
        queries_of = [sampling.apart(asked, support, one.groups) for _, asked in parts]
        episode = Episode(
            support=support,
            starts=np.arange(ways) * shots,
            queries=np.concatenate(queries_of),
            truth=np.repeat(np.arange(ways), [len(asked) for asked in queries_of]),
            background=random.choice(others, min(BACKGROUND, len(others)), replace=False),
        )
        if len(episode.queries):
            yield episode
            played += 1
        if played == count:
            return


def score(one: Labelled, played: Sequence[Episode], method: Method, *, ways: int, shots: int) -> Result:
    """How a method does in these episodes."""
    shares, asked = [], 0
    began = time.perf_counter()
    for episode in played:
        support = SupportSet.of(
            one.vectors[episode.support], episode.starts, background=one.vectors[episode.background]
        )
        answers = method.fit(support).score(one.vectors[episode.queries]).argmax(axis=1)
        shares.append(float((answers == episode.truth).mean()))
        asked += len(answers)
    seconds = (time.perf_counter() - began) / asked
    mean, ci95 = interval(shares)
    return Result(method.name, ways, shots, mean, ci95, seconds)


def nearest_pixels(pixels: FloatArray, played: Sequence[Episode]) -> tuple[float, float]:
    """Accuracy and its interval of the nearest support picture at 16×16 (N, 768): the floor, and an alarm where it is
    high, as near copies then stand on both sides."""
    rows = normalise(pixels)
    shares = []
    for episode in played:
        owner = np.searchsorted(episode.starts, np.arange(len(episode.support)), side="right") - 1
        nearest = (rows[episode.queries] @ rows[episode.support].T).argmax(axis=1)
        shares.append(float((owner[nearest] == episode.truth).mean()))
    return interval(shares)


def interval(shares: Sequence[float]) -> tuple[float, float]:
    """Mean, and half of the 95 % confidence interval of the mean."""
    spread = float(np.std(shares, ddof=1)) if len(shares) > 1 else 0.0
    return float(np.mean(shares)), 1.96 * spread / len(shares) ** 0.5
