"""Few-shot methods: one file each over pure functions, one protocol. Arrays: Q queries, M exemplars, N subjects."""

from __future__ import annotations

from booru_ml.errors import InvalidInput
from embeddings.methods.base import Fitted, Method, SupportSet, normalise
from embeddings.methods.exemplars import Exemplars
from embeddings.methods.mean import CosineMean, EuclideanMean
from embeddings.methods.simpleshot import SimpleShot
from embeddings.methods.whitened import Whitened

__all__ = ["METHODS", "Fitted", "Method", "SupportSet", "named", "normalise"]

METHODS: tuple[type[Method], ...] = (EuclideanMean, CosineMean, SimpleShot, Exemplars, Whitened)
"""The simplest first: those that compare with means, then what needs every exemplar, then every gallery anew."""


def named(name: str) -> type[Method]:
    """Raises ``InvalidInput`` for a name that none has."""
    for method in METHODS:
        if method.name == name:
            return method
    raise InvalidInput(f"There is no few-shot method {name!r}; known are {', '.join(item.name for item in METHODS)}.")
