"""Train, validation and test: grouped, so that nothing is on two sides, and stratified, so that every side knows every
class (iterative stratification, Sechidis et al. 2011, over groups instead of rows)."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from random import Random

from booru_ml.training.manifest import Sample
from booru_ml.training.settings import SHARES

NAMES = ("train", "val", "test")


def split(samples: Sequence[Sample], *, shares: Sequence[float] = SHARES, seed: int = 0) -> list[Sample]:
    """The samples with their splits by ``shares`` of train, val and test, in each label as far as its groups allow.

    A label of a few groups has them in train first. The same samples and seed give the same splits in any order of the
    rows.
    """
    members: dict[str, Counter[str]] = defaultdict(Counter)
    for sample in samples:
        for label in sample.labels or ("",):  # pictures that only lack tags are spread, too
            members[sample.group][label] += 1
    groups: dict[str, list[str]] = defaultdict(list)
    for group in sorted(members):
        for label in members[group]:
            groups[label].append(group)
    placed: dict[str, int] = {}
    have: dict[str, list[int]] = {label: [0] * len(NAMES) for label in groups}
    # Rare labels choose first: common ones find room everywhere.
    for label in sorted(groups, key=lambda name: (len(groups[name]), name)):
        free = [group for group in groups[label] if group not in placed]
        Random(f"{seed} {label}").shuffle(free)  # noqa: S311
        for group in free:
            place = _neediest(have[label], shares, everywhere=len(groups[label]) >= len(NAMES))
            placed[group] = place
            for name, count in members[group].items():
                have[name][place] += count
    return [replace(sample, split=NAMES[placed[sample.group]]) for sample in samples]


def _neediest(have: Sequence[int], shares: Sequence[float], *, everywhere: bool) -> int:
    """The split that is furthest behind its share once another picture has come. An empty train comes first, then,
    where there are groups enough to be ``everywhere``, another empty one."""
    wanted = [place for place, share in enumerate(shares) if share]
    if not have[0]:
        return 0
    if everywhere and (empty := [place for place in wanted if not have[place]]):
        return max(empty, key=lambda place: shares[place])
    total = sum(have) + 1
    return max(wanted, key=lambda place: shares[place] * total - have[place])


def sizes(samples: Sequence[Sample]) -> Mapping[str, int]:
    """Pictures of each split."""
    return Counter(sample.split for sample in samples)
