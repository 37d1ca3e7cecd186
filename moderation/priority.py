"""How much a look at a case is worth now, and the number that puts the queue in that order.

The expected value of a look is ``risk × uncertainty × age``:

* **risk** (0–1]: how likely something on the post needs a moderator. Each flag counts with its score and the weight of
  its reason, and several flags combine as independent evidence, ``1 − (1 − base) · Π(1 − weight · score)``; ``base``
  is the small risk of a pending post that nothing speaks against.
* **uncertainty** [½–1]: how undecided the network is about the rating (normalised entropy). A look at a sure case
  confirms what is known; a look at an unsure one decides it, and is worth up to twice as much.
* **age**: the value doubles with every day of waiting, so that nothing starves in the queue.

Because ageing is exponential, every open case gains at the same rate and **the order never changes by waiting**. What
is stored is therefore ``log₂(risk · uncertainty) − days since EPOCH at the opening``: it needs no refresh, and the
database's index gives the queue in the right order. ``value`` turns it back into the expected value at a moment.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from types import MappingProxyType

# Weights say how much harm a missed case of this kind does, relative to one another.
WEIGHTS: Mapping[str, float] = MappingProxyType(
    {
        "rating_too_low": 1.0,
        "explicit": 0.8,
        "not_drawn": 0.6,
        "duplicate": 0.5,
        "unreadable": 0.5,
        "low_quality": 0.4,
    }
)
BASE_RISK = 0.02
DOUBLING = timedelta(days=1)
EPOCH = datetime(2025, 1, 1, tzinfo=UTC)


def risk(flags: Iterable[tuple[str, float]]) -> float:
    """Risk of a case with these active (reason, score 0–1) flags; an unknown reason weighs as the mildest known."""
    safe = 1.0 - BASE_RISK
    for reason, score in flags:
        weight = WEIGHTS.get(reason, min(WEIGHTS.values()))
        safe *= 1.0 - weight * min(max(score, 0.0), 1.0)
    return 1.0 - safe


def uncertainty(probabilities: Iterable[float] | None) -> float:
    """½ for a sure distribution to 1 for an even one; 1 where the network said nothing."""
    values = [max(value, 0.0) for value in probabilities or ()]
    total = sum(values)
    if len(values) < 2 or total <= 0:
        return 1.0
    shares = [value / total for value in values]
    entropy = -sum(share * math.log(share) for share in shares if share > 0)
    return 0.5 + 0.5 * min(entropy / math.log(len(values)), 1.0)


def priority(*, risk: float, uncertainty: float, opened_at: datetime) -> float:
    """The number stored with the case, higher first: rises with risk and uncertainty, falls with ``opened_at``."""
    waiting_since = (opened_at - EPOCH) / DOUBLING
    return math.log2(max(risk, 1e-6) * max(uncertainty, 1e-6)) - waiting_since


def value(priority: float, *, now: datetime) -> float:
    """The expected value of a look at ``now``: ``risk · uncertainty · 2^(days waited)``."""
    return float(2.0 ** min((now - EPOCH) / DOUBLING + priority, 1000.0))
