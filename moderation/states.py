"""Which verb leads from which state of a case to which: the whole life of a case in one table.

Pure: strings in, strings out. The strings are the values of ``Case.State`` and ``Decision.Verb``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType

OPEN, APPROVED, REJECTED = "open", "approved", "rejected"
APPROVE, REJECT, REOPEN, UNDO = "approve", "reject", "reopen", "undo"

STATES = (OPEN, APPROVED, REJECTED)

TRANSITIONS: Mapping[tuple[str, str], str] = MappingProxyType(
    {
        (OPEN, APPROVE): APPROVED,
        (OPEN, REJECT): REJECTED,
        (APPROVED, REOPEN): OPEN,
        (REJECTED, REOPEN): OPEN,
        (APPROVED, UNDO): OPEN,
        (REJECTED, UNDO): OPEN,
    }
)

# What a decision does to the post on the board.
POST_STATUS: Mapping[str, str] = MappingProxyType({APPROVE: "active", REJECT: "deleted"})


def new_reasons(active: Iterable[str], judged: Iterable[str]) -> frozenset[str]:
    """The reasons that stand on a case now and that nobody has judged yet: these alone reopen a decided case."""
    return frozenset(active) - frozenset(judged)
