"""Ordinal grades by cumulative logits (McCullagh 1980), fitted in closed batches, and how well two gradings agree."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

from booru_ml.errors import InvalidInput
from booru_ml.evaluation.scores import kappa
from booru_ml.types import FloatArray

Grades = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Ordinal:
    """score = rows · ``weight`` + ``bias``; P(grade > k) = σ(score − ``thresholds``[k]), thresholds strictly rising."""

    weight: FloatArray
    bias: float
    thresholds: FloatArray

    def probabilities(self, rows: FloatArray) -> FloatArray:
        """N × grades."""
        score = rows @ self.weight + self.bias
        above = 1.0 / (1.0 + np.exp(np.clip(self.thresholds[None] - score[:, None], -30, 30)))
        edges = np.concatenate([np.ones((len(rows), 1)), above, np.zeros((len(rows), 1))], axis=1)
        return np.asarray(edges[:, :-1] - edges[:, 1:], np.float32)


@dataclass(frozen=True, slots=True)
class Agreement:
    """Of said and true grades: share equal, mean distance in grades, quadratically weighted kappa (Cohen 1968)."""

    count: int
    accuracy: float
    mae: float
    qwk: float

    def __str__(self) -> str:
        return f"accuracy {self.accuracy:.3f}  MAE {self.mae:.3f}  QWK {self.qwk:.3f}  ({self.count:,} pictures)"


def fit(
    rows: FloatArray, grades: Sequence[int] | Grades, *, count: int, ridge: float = 1e-2, steps: int = 60
) -> Ordinal:
    """The likeliest head for rows N × D and grades 0 – ``count`` − 1; every grade weighs alike, however rare.

    ``ridge`` pulls the weights of standardised columns to zero. Raises ``InvalidInput`` where a grade has no row.
    """
    target = torch.as_tensor(np.asarray(grades, np.int64))
    sizes = torch.bincount(target, minlength=count)
    if len(sizes) > count or count < 2 or bool((sizes == 0).any()):
        raise InvalidInput(f"Every one of the {count} grades needs pictures.")
    mean, spread = rows.mean(axis=0, dtype=np.float64), rows.std(axis=0, dtype=np.float64) + 1e-6
    # Columns share one scale in the end: a fold's rare columns must not shout.
    table = torch.from_numpy(((rows - mean) / spread / rows.shape[1] ** 0.5).astype(np.float32))
    balance = (1.0 / (sizes[target] * count)).float()
    weight = torch.zeros(table.shape[1], requires_grad=True)
    first = torch.tensor(-1.0, requires_grad=True)
    steps_up = torch.zeros(count - 2, requires_grad=True)
    free = [weight, first, steps_up]
    optimiser = torch.optim.LBFGS(free, max_iter=steps, line_search_fn="strong_wolfe")

    def limits() -> Tensor:
        return torch.cat([first[None], first + torch.cumsum(functional.softplus(steps_up) + 1e-3, dim=0)])

    def loss() -> Tensor:
        optimiser.zero_grad()
        value = -(balance * log_likelihood(table @ weight, limits(), target)).sum() + ridge * weight.square().mean()
        value.backward()  # type: ignore[no-untyped-call]
        return value

    optimiser.step(loss)  # type: ignore[no-untyped-call]
    found = weight.detach().double().numpy() / spread / rows.shape[1] ** 0.5
    return Ordinal(found.astype(np.float32), float(-mean @ found), limits().detach().numpy().astype(np.float32))


def log_likelihood(score: Tensor, thresholds: Tensor, target: Tensor) -> Tensor:
    """log P(grade = target) of each row (N,), without loss of digits far from the thresholds."""
    far = torch.full((1,), 1e4, device=thresholds.device)
    edges = torch.cat([-far, thresholds, far])
    upper, lower = edges[target + 1] - score, edges[target] - score
    # σ(u) − σ(l) = σ(u)·σ(−l)·(1 − e^(l−u))
    between = torch.log1p(-torch.exp(torch.clamp(lower - upper, max=-1e-6)))
    return functional.logsigmoid(upper) + functional.logsigmoid(-lower) + between


def agreement(truth: Sequence[int] | Grades, said: Sequence[int] | Grades, *, count: int) -> Agreement:
    """How the grades ``said`` agree with the true ones. Raises ``InvalidInput`` for none."""
    true, given = np.asarray(truth, np.int64), np.asarray(said, np.int64)
    if not len(true) or len(true) != len(given):
        raise InvalidInput("Agreement needs two gradings of the same pictures.")
    distance = np.abs(true - given)
    return Agreement(len(true), float((distance == 0).mean()), float(distance.mean()), kappa(true, given, count))
