"""Support and query pictures of a class, drawn so that they never share a group (a source picture, a post)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from embeddings.types import IntArray

Groups = list[IntArray]
"""A class: the rows of each of its groups."""


def classes(labels: Sequence[str], groups: Sequence[str]) -> dict[str, Groups]:
    """Each class by its groups, in the order of their names."""
    rows: dict[str, dict[str, list[int]]] = {}
    for row, (label, group) in enumerate(zip(labels, groups, strict=True)):
        rows.setdefault(str(label), {}).setdefault(str(group), []).append(row)
    return {label: [np.array(own) for own in rows[label].values()] for label in sorted(rows)}


def most_shots(groups: Groups) -> int:
    """How many pictures can be shown of a class while another group is left to ask about; 0 for a class of one."""
    sizes = [len(own) for own in groups]
    return sum(sizes) - min(sizes) if len(sizes) > 1 else 0


def apart(asked: IntArray, shown: IntArray, groups: npt.NDArray[np.str_]) -> IntArray:
    """Those of the rows ``asked`` about that share no group with any that is ``shown``, of whatever class."""
    return asked[~np.isin(groups[asked], groups[shown])]


def split(groups: Groups, random: np.random.Generator, *, shots: int, queries: int) -> tuple[IntArray, IntArray]:
    """Rows of (shots,) support and (1 … queries,) query pictures. ``shots`` is at most ``most_shots``."""
    asked: Groups = []
    shown: Groups = []
    left = sum(len(own) for own in groups)
    for number in random.permutation(len(groups)):
        own = groups[number]
        if sum(len(one) for one in asked) < queries and left - len(own) >= shots:
            asked.append(own)
            left -= len(own)
        else:
            shown.append(own)
    return random.permutation(np.concatenate(shown))[:shots], random.permutation(np.concatenate(asked))[:queries]
