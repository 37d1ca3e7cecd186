"""Vectors that lie as those of pictures do: in crowds of very different size, on few directions of many."""

from __future__ import annotations

import numpy as np

from booru_ml.types import FloatArray

DIRECTIONS = 64
"""That matter, with falling weight; encoders of 512 to 1280 numbers spread pictures over about as many."""
PER_CROWD = 50
NOISE = 0.03
CHUNK = 50_000


def drawn(count: int, dimension: int, *, seed: int = 0) -> FloatArray:
    """(N, D) L2-normalised, of N / 50 crowds whose sizes fall by a power law; exact in float16, as stored ones are."""
    random = np.random.default_rng(seed)
    crowds = max(16, count // PER_CROWD)
    weight = (1 / np.sqrt(1 + np.arange(DIRECTIONS))).astype(np.float32)
    centres = random.normal(size=(crowds, DIRECTIONS)).astype(np.float32) * weight
    axes = random.normal(size=(DIRECTIONS, dimension)).astype(np.float32) / DIRECTIONS**0.5
    chance = 1 / np.arange(1, crowds + 1) ** 0.8
    vectors = np.empty((count, dimension), dtype=np.float32)
    for start in range(0, count, CHUNK):
        rows = vectors[start : start + CHUNK]
        own = random.choice(crowds, len(rows), p=chance / chance.sum())
        scatter = 0.7 * random.standard_normal((len(rows), DIRECTIONS), dtype=np.float32) * weight
        rows[:] = (centres[own] + scatter) @ axes
        rows += NOISE * random.standard_normal(rows.shape, dtype=np.float32)
        rows /= np.linalg.norm(rows, axis=1, keepdims=True)
        rows[:] = rows.astype(np.float16)
    return vectors
