"""How a candidate on trial compares with the models in force, and with what people decided."""

from __future__ import annotations

import statistics
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import Any

from booru_ml.models import Shadow, ShadowLook
from tagging.models import Suggestion

Key = tuple[Any, str, str]


@dataclass(frozen=True, slots=True)
class Judged:
    """What people decided about what one of the two said; ``missed``: accepted tags that it did not say."""

    right: int = 0
    wrong: int = 0
    missed: int = 0

    @property
    def precision(self) -> float | None:
        return self.right / (self.right + self.wrong) if self.right + self.wrong else None

    @property
    def recall(self) -> float | None:
        return self.right / (self.right + self.missed) if self.right + self.missed else None


@dataclass(frozen=True, slots=True)
class Line:
    """One category: suggestions of both, of one alone, and both before people's decisions."""

    category: str
    both: int
    only_active: int
    only_candidate: int
    active: Judged
    candidate: Judged

    @property
    def agreement(self) -> float | None:
        """Jaccard: of what either says, the share that both say."""
        union = self.both + self.only_active + self.only_candidate
        return self.both / union if union else None


@dataclass(frozen=True, slots=True)
class Report:
    """``milliseconds``: median and 95 % quantile per picture, decoding aside, by who looked."""

    candidate: str
    active: tuple[str, ...]
    pictures: int
    lines: tuple[Line, ...] = ()
    milliseconds: dict[str, tuple[float, float]] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        lines = []
        for line in self.lines:
            told = asdict(line) | {"agreement": line.agreement}
            for name, judged in (("active", line.active), ("candidate", line.candidate)):
                told[name] |= {"precision": judged.precision, "recall": judged.recall}
            lines.append(told)
        return asdict(self) | {"lines": lines}


def report(shadow: Shadow) -> Report:
    """From what was stored; decisions are read now, so the report gets better as moderators go on."""
    looks = list(ShadowLook.objects.filter(shadow=shadow).order_by("pk"))
    active = _keys((look.post_id, look.active_said) for look in looks)
    candidate = _keys((look.post_id, look.candidate_said) for look in looks)
    accepted, rejected = _decided(shadow)
    categories = sorted({key[1] for key in active | candidate})
    lines = []
    for category in categories:
        mine, theirs, yes, no = (
            {key for key in keys if key[1] == category} for keys in (active, candidate, accepted, rejected)
        )
        lines.append(
            Line(
                category,
                both=len(mine & theirs),
                only_active=len(mine - theirs),
                only_candidate=len(theirs - mine),
                active=Judged(len(mine & yes), len(mine & no), len(yes - mine)),
                candidate=Judged(len(theirs & yes), len(theirs & no), len(yes - theirs)),
            )
        )
    seconds = {
        "active": [look.active_seconds for look in looks],
        "candidate": [look.candidate_seconds for look in looks],
    }
    versions = Counter(look.active_version for look in looks)
    return Report(
        candidate=shadow.candidate.version,
        active=tuple(sorted(versions)),
        pictures=len(looks),
        lines=tuple(lines),
        milliseconds={name: _quantiles(values) for name, values in seconds.items() if values},
    )


def _keys(said: Iterable[tuple[Any, Any]]) -> set[Key]:
    return {(post_id, category, name) for post_id, found in said for category, name, _ in found}


def _decided(shadow: Shadow) -> tuple[set[Key], set[Key]]:
    """What people accepted and rejected on the posts of the trial."""
    found: dict[str, set[Key]] = defaultdict(set)
    states = (Suggestion.State.ACCEPTED, Suggestion.State.REJECTED)
    looks = ShadowLook.objects.filter(shadow=shadow)
    rows = Suggestion.objects.of_posts(looks.values("post_id"), states=states)
    for post_id, category, name, state in rows.values_list("post_id", "category", "name", "state"):
        found[state].add((post_id, category, name))
    return found[Suggestion.State.ACCEPTED], found[Suggestion.State.REJECTED]


def _quantiles(seconds: list[float]) -> tuple[float, float]:
    ordered = sorted(1000 * value for value in seconds)
    return round(statistics.median(ordered), 2), round(ordered[min(len(ordered) - 1, int(0.95 * len(ordered)))], 2)
