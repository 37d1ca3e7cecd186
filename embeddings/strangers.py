"""The board's other pictures, which stand for strangers when somebody is recognised."""

from __future__ import annotations

import random
from collections.abc import Set
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

import numpy as np
from django.db.models import Max, Min

from booru_ml.types import FloatArray
from embeddings.models import Vector
from embeddings.store import readable

BACKGROUND = 256
"""How many of the board's pictures stand for strangers."""


@dataclass(frozen=True, slots=True, eq=False)
class Strangers:
    """(B, D) vectors and the ids of their rows."""

    ids: tuple[int, ...]
    vectors: FloatArray


def reach(model_version: str, kind: str) -> tuple[int, int]:
    """The space's lowest id, and its highest rounded down so far that it changes only as the space grows by a tenth."""
    ends = Vector.objects.filter(model_version=model_version, kind=kind).aggregate(low=Min("id"), high=Max("id"))
    low, high = ends["low"] or 0, ends["high"] or 0
    width = high - low  # ids of a new model's vectors begin where those of the former ones end
    unit = 1 << max(width.bit_length() - 4, 0)
    return low, low + width // unit * unit


def draw(model_version: str, kind: str, without: Set[Any]) -> Strangers:
    """Up to ``BACKGROUND`` vectors of posts that are not among ``without``, spread over the board's history.

    They are the same in every process, and one that leaves makes room for one other: each row has its own rank.
    """
    low, high = reach(model_version, kind)
    if not high:
        return Strangers((), np.zeros((0, 0), dtype=np.float32))
    seed = f"{model_version} {kind} {high}"
    lots = random.Random(seed)  # noqa: S311 - a sample, not a secret
    spaces = 16 * BACKGROUND
    ids = range(low, high + 1) if high - low < spaces else {lots.randint(low, high) for _ in range(spaces)}
    rows = Vector.objects.filter(model_version=model_version, kind=kind, id__in=list(ids))
    others = [id_ for id_, post in rows.values_list("id", "post_id") if post not in without]
    chosen = sorted(others, key=lambda id_: sha256(f"{seed} {id_}".encode()).digest())[:BACKGROUND]
    found, vectors = readable(list(Vector.objects.filter(pk__in=chosen).order_by("id").values_list("id", "data")))
    return Strangers(tuple(found), vectors)
