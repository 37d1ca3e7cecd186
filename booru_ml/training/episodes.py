"""Few-shot episodes: how well frozen vectors tell classes apart that nothing was fitted on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from booru_ml.types import FloatArray

Index = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Accuracy:
    """``mean`` of the episodes' accuracies, 0–1, with half of its 95 % confidence interval."""

    mean: float
    ci95: float

    def __str__(self) -> str:
        return f"{100 * self.mean:.1f} ± {100 * self.ci95:.1f} %"


def episodes(
    labels: Sequence[str], groups: Sequence[str], *, ways: int, shots: int, queries: int, count: int, seed: int = 0
) -> Iterator[tuple[list[Index], list[Index]]]:
    """``count`` times the rows of ``ways`` classes: supports (one of each of ``shots`` groups) and queries of others.

    Nothing comes where fewer than ``ways`` classes have ``shots`` + 1 groups.
    """
    rng = np.random.default_rng(seed)
    by_class: dict[str, dict[str, list[int]]] = {}
    for row, (label, group) in enumerate(zip(labels, groups, strict=True)):
        by_class.setdefault(label, {}).setdefault(group, []).append(row)
    classes = [list(of.values()) for of in by_class.values() if len(of) > shots]
    if len(classes) < ways:
        return
    for _ in range(count):
        supports, asked = [], []
        for number in rng.choice(len(classes), ways, replace=False):
            order = rng.permutation(len(classes[number]))
            supports.append(np.array([rng.choice(classes[number][group]) for group in order[:shots]]))
            others = [row for group in order[shots:] for row in classes[number][group]]
            asked.append(rng.permutation(others)[:queries])
        yield supports, asked


def accuracy(
    vectors: FloatArray,
    labels: Sequence[str],
    groups: Sequence[str],
    *,
    ways: int,
    shots: int,
    queries: int = 5,
    count: int = 200,
    seed: int = 0,
) -> Accuracy | None:
    """Nearest class mean by cosine (prototypical networks, Snell et al. 2017). None where classes are too few."""
    found = []
    for supports, asked in episodes(labels, groups, ways=ways, shots=shots, queries=queries, count=count, seed=seed):
        prototypes = np.stack([vectors[rows].mean(axis=0) for rows in supports])
        prototypes /= np.linalg.norm(prototypes, axis=1, keepdims=True) + 1e-12
        truth = np.repeat(np.arange(ways), [len(rows) for rows in asked])
        answers = (vectors[np.concatenate(asked)] @ prototypes.T).argmax(axis=1)
        found.append(float((answers == truth).mean()))
    if not found:
        return None
    return Accuracy(float(np.mean(found)), 1.96 * float(np.std(found)) / len(found) ** 0.5)
