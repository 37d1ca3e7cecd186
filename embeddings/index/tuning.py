"""How hard a graph must try, measured against the exact answer."""

from __future__ import annotations

from dataclasses import dataclass

from booru_ml.types import FloatArray
from embeddings.index.graph import GraphIndex

LEAST = 0.98
"""The recall@10 that answers are held to."""
AIM = 0.985
"""Aimed at, since it is measured by a sample."""
EFFORTS = tuple(step << power for power in range(1, 11) for step in range(8, 16))
"""16 to 15,360, in steps of a tenth; real pictures take 100 or so, pure noise thousands."""
PROBES = 256
NEIGHBOURS = 10
SAME = 1e-5
"""Products that are closer are one: which of two copies of a picture is found does not matter."""


@dataclass(frozen=True, slots=True)
class Tuned:
    """``recall`` (0–1) is the share of the exact ten neighbours that ``effort`` finds for ``probes`` vectors."""

    effort: int
    recall: float
    probes: int


def tune(index: GraphIndex, probes: FloatArray) -> Tuned:
    """The least effort that finds what ``AIM`` asks for, or the most there is. Changes nothing.

    ``probes`` (N, D) must not be in the graph: it finds what it holds far more easily than what is new. Safe beside
    searches, additions and removals in other threads, but not beside ``fold``.
    """
    exact = index.exact(probes, NEIGHBOURS)[0]
    for effort in EFFORTS:
        found = recall(index.approximate(probes, NEIGHBOURS, effort)[0], exact)
        if found >= AIM:
            break
    return Tuned(effort, found, len(probes))


def recall(found: FloatArray, exact: FloatArray) -> float:
    """The share of the exact (Q, K) products, descending, that were reached."""
    return float((found >= exact[:, -1:] - SAME).mean())
