"""The ways of calibrating a softmax head: what each makes of its probabilities, how it is kept, which one to take."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, Self

import numpy as np

from booru_ml.checkpoint.heads import HeadKind
from booru_ml.evaluation import calibration
from booru_ml.evaluation import folds as cutting
from booru_ml.evaluation.answers import Index, Names, Table
from booru_ml.nn.calibrated import by_curve

if TYPE_CHECKING:
    from booru_ml.checkpoint import Checkpoint
    from booru_ml.checkpoint.labels import Curve

FOLDS = 5


class Way(ABC):
    """Fitted to probabilities (N, C) and true classes (N,); called with probabilities it gives calibrated ones."""

    told: Mapping[str, float]
    """What was fitted, for the report."""

    @classmethod
    @abstractmethod
    def fit(cls, chances: Table, truth: Index) -> Self: ...

    @abstractmethod
    def __call__(self, chances: Table) -> Table: ...

    @abstractmethod
    def store(self, checkpoint: Checkpoint, head: str) -> Checkpoint:
        """Keeps it with the checkpoint, instead of what was kept before."""


class Temperature(Way):
    """One number, which needs few pictures (Guo et al. 2017)."""

    def __init__(self, by: float) -> None:
        self.by, self.told = by, {"temperature": by}

    @classmethod
    def fit(cls, chances: Table, truth: Index) -> Self:
        return cls(calibration.temperature(np.log(chances + calibration.TINY), truth))

    def __call__(self, chances: Table) -> Table:
        return calibration.softened(np.log(chances + calibration.TINY), self.by)

    def store(self, checkpoint: Checkpoint, head: str) -> Checkpoint:
        return calibration.store_temperature(checkpoint, head, self.by)


class Isotonic(Way):
    """Any rising curve, the same for all classes, which needs more pictures."""

    def __init__(self, curve: Curve) -> None:
        self.curve, self.told = curve, {"points": len(curve[0])}

    @classmethod
    def fit(cls, chances: Table, truth: Index) -> Self:
        return cls(calibration.isotonic(chances, truth[:, None] == np.arange(chances.shape[1])))

    def __call__(self, chances: Table) -> Table:
        return by_curve(self.curve, chances, HeadKind.SOFTMAX)

    def store(self, checkpoint: Checkpoint, head: str) -> Checkpoint:
        return calibration.store_curve(checkpoint, head, self.curve)


WAYS: Mapping[str, type[Way]] = {"temperature": Temperature, "isotonic": Isotonic}


def cross_validate(chances: Table, truth: Index, groups: Names, *, seed: int = 0) -> dict[str, float]:
    """Negative log-likelihood of each way on groups that it was not fitted on. Raises ``InvalidInput``."""
    cut = cutting.folds(truth, groups, FOLDS, seed=seed, strict=False)
    found = {name: np.zeros(len(truth)) for name in WAYS}
    for fold in cut:
        for name, way in WAYS.items():
            said = way.fit(chances[fold.fitted], truth[fold.fitted])(chances[fold.asked])
            found[name][fold.asked] = -np.log(said[np.arange(len(fold.asked)), truth[fold.asked]] + calibration.TINY)
    return {name: float(losses.mean()) for name, losses in found.items()}
