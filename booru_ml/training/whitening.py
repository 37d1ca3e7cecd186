"""Whitening of a vector head: axes along which pictures always vary alike count less."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from booru_ml.errors import InvalidInput
from booru_ml.nn import network
from booru_ml.nn.survey import read_picture
from booru_ml.nn.transforms import fit as resize
from booru_ml.nn.transforms import normalise
from booru_ml.nn.writing import set_heads
from booru_ml.types import FloatArray

if TYPE_CHECKING:
    from booru_ml.checkpoint import Checkpoint

TINY = 1e-6


def fit(rows: FloatArray, *, dim: int, shrink: float) -> tuple[FloatArray, FloatArray]:
    """``mean`` (D,) and ``projection`` (dim × D) from raw features N × D.

    Features are standardised, their correlation matrix is shrunk towards the identity by ``shrink`` (0–1; Ledoit & Wolf
    2004 shape) and inverted by its square root; the ``dim`` strongest directions are kept.
    """
    if rows.ndim != 2 or len(rows) < 2 or not 1 <= dim <= rows.shape[1] or not 0 <= shrink <= 1:
        raise ValueError(f"whitening needs two rows or more, 1 ≤ dim ≤ {rows.shape[-1]} and 0 ≤ shrink ≤ 1")
    table = rows.astype(np.float64)
    mean = table.mean(axis=0)
    spread = table.std(axis=0) + TINY
    standard = (table - mean) / spread
    correlation = standard.T @ standard / len(table)
    values, vectors = np.linalg.eigh((1 - shrink) * correlation + shrink * np.eye(len(mean)))
    # A direction that never varies says nothing; without this floor it would shout.
    strongest = np.argsort(values)[::-1][:dim]
    scale = 1 / np.sqrt(np.maximum(values[strongest], TINY))
    projection = (vectors[:, strongest] * scale).T / spread
    return mean.astype(np.float32), projection.astype(np.float32)


def features(checkpoint: Checkpoint, head: str, paths: Iterable[Path]) -> FloatArray:
    """Raw features N × D of a vector head, before any centring or projection."""
    declared = checkpoint.heads.get(head)
    if declared is None or not declared.is_vector:
        raise InvalidInput(f"{checkpoint.name} has no embedding or style head named {head!r}.")
    net = network.load(checkpoint)
    module: Any = net.heads[head]
    rows = []
    with torch.inference_mode():
        for path in paths:
            batch = normalise([resize(read_picture(path), checkpoint.preprocess)], checkpoint.preprocess)
            rows.append(module.raw(net.backbone.features(torch.from_numpy(batch))).numpy())
    return np.concatenate(rows)


def apply(checkpoint: Checkpoint, head: str, rows: FloatArray, *, dim: int, shrink: float) -> Checkpoint:
    """The checkpoint with this head centred and projected as ``fit`` says; its version changes, for its space does."""
    mean, projection = fit(rows, dim=dim, shrink=shrink)
    declared = checkpoint.heads[head]
    said: dict[str, Any] = {"kind": str(declared.kind), "dim": dim, "projected": True}
    if declared.stages:
        said["stages"] = list(declared.stages)
    tensors = {f"{head}.mean": torch.from_numpy(mean), f"{head}.projection": torch.from_numpy(projection)}
    return set_heads(checkpoint, {head: said}, tensors)
