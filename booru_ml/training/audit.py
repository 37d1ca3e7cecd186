"""What is wrong with a folder of pictures before anything is taught with it: each finding counted, with a few names."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from hashlib import sha256
from itertools import chain, starmap
from pathlib import Path

import imagehash
import numpy as np
import numpy.typing as npt
from PIL import Image

from booru_ml.errors import InvalidInput
from booru_ml.nn.survey import read_picture
from booru_ml.nn.transforms import crop_square
from booru_ml.progress import track
from booru_ml.training.manifest import Sample
from booru_ml.training.settings import SHARES
from booru_ml.training.splits import sizes, split
from booru_ml.types import PixelArray

PLAIN = 6.0
"""Standard deviation of grey (0–255) up to which a picture or tile shows nothing."""
NEAR = 4
"""Bits of 64 in which the perceptual hashes of near-duplicates differ at most."""
FACE = 1.5
"""Side of the square about a sample's box, as a multiple of its longer side; only the hash sees it."""
SHOWN = 5

Bits = npt.NDArray[np.uint8]
Pair = tuple[Path, Path]
Alike = tuple[Sample, Sample]


@dataclass(frozen=True, slots=True)
class Look:
    """One picture: a digest of its pixels, its perceptual hash (8 bytes) and how much there is to see."""

    digest: str
    bits: bytes
    spread: float


@dataclass(frozen=True)
class Audit:
    """``samples``: what is fit to teach and test with, each with its split. The rest names what was found."""

    samples: tuple[Sample, ...]
    counted: int
    unreadable: tuple[Path, ...] = ()
    plain: tuple[Path, ...] = ()
    copies: tuple[Pair, ...] = ()
    contradictions: tuple[Pair, ...] = ()
    near: tuple[Pair, ...] = ()
    leaks: tuple[Pair, ...] = ()
    tested: tuple[Pair, ...] = ()
    divided: tuple[str, ...] = ()
    rare: dict[str, int] = field(default_factory=dict)
    untaught: dict[str, int] = field(default_factory=dict)
    split_made: bool = False
    shares_idle: bool = False

    @cached_property
    def lines(self) -> list[str]:
        """The report, for people."""
        classes = len({label for sample in self.samples for label in sample.labels})
        parts = ", ".join(f"{name} {count:,}" for name, count in sorted(sizes(self.samples).items()) if name)
        made = " (split here: grouped and stratified)" if self.split_made else ""
        found = [
            f"{self.counted:,} pictures listed, {len(self.samples):,} kept, {classes:,} labels: {parts}{made}",
            _line("unreadable, left out", map(_names, self.unreadable)),
            _line("plain-coloured, left out", map(_names, self.plain)),
            _line("copies pixel by pixel, one kept", starmap(_names, self.copies)),
            _line("copies with different labels, all left out", starmap(_names, self.contradictions)),
            _line("near-duplicates", starmap(_names, self.near)),
            _line("near-duplicates across splits, left out of train", starmap(_names, self.leaks)),
            _line("near-duplicates between val and test, kept", starmap(_names, self.tested)),
            _line("groups across splits", self.divided),
            _line("labels with too few pictures, left out", (f"{name} ({n})" for name, n in self.rare.items())),
            _line("labels without train pictures, left out", (f"{name} ({n})" for name, n in self.untaught.items())),
            "--shares has no effect, as the pictures come with their splits" if self.shares_idle else "",
        ]
        return [line for line in found if line]


def look(frame: PixelArray) -> Look:
    image = Image.fromarray(frame)
    digest = sha256(f"{frame.shape}".encode() + frame.tobytes()).hexdigest()
    bits = np.packbits(imagehash.phash(image).hash)
    return Look(digest, bits.tobytes(), float(np.asarray(image.convert("L").resize((64, 64))).std()))


def audit(
    samples: Sequence[Sample],
    *,
    least: int = 1,
    shares: Sequence[float] = SHARES,
    seed: int = 0,
) -> Audit:
    """Looks at every picture once and sorts out what cannot teach.

    Without splits, near-duplicates are put into one group and the split is made here. With splits, a train picture
    that nearly is one of val or test is left out of train, and a label that train lacks is left out of these.
    ``least``: pictures that a label needs (DAF:re: 20).
    Raises ``InvalidInput`` where nothing is left, or only some rows have a split.
    """
    given = {sample.split for sample in samples}
    if "" in given and len(given) > 1:
        raise InvalidInput("Some rows of the manifest have a split and some have none; fill all of them, or none.")
    looks = [_look(sample) for sample in track(samples, "Looking at pictures")]
    seen = [(sample, found) for sample, found in zip(samples, looks, strict=True) if found is not None]
    unreadable = [sample.path for sample, found in zip(samples, looks, strict=True) if found is None]
    plain = [sample.path for sample, found in seen if found.spread <= PLAIN]
    seen = [(sample, found) for sample, found in seen if found.spread > PLAIN]
    seen, copies, contradictions = _without_copies(seen)
    pairs = near(bits_of([found for _, found in seen]))
    kept = [sample for sample, _ in seen]
    leaks: list[tuple[int, int]] = []
    untaught: Counter[str] = Counter()
    if given == {""}:
        alike = [*copies, *((kept[a], kept[b]) for a, b in pairs)]
        kept = split(_at_least(_joined(kept, alike), least), shares=shares, seed=seed)
    else:
        leaks = [(a, b) for a, b in pairs if kept[a].split != kept[b].split]
        gone = {row for pair in leaks for row in pair if kept[row].split == "train"}
        kept = _at_least([sample for row, sample in enumerate(kept) if row not in gone], least)
        taught = {label for sample in kept if sample.split == "train" for label in sample.labels}
        untaught = _pictures(sample for sample in kept if sample.tags is None and sample.label not in taught)
        kept = [sample for sample in kept if sample.label not in untaught]
    if not any(sample.split == "train" for sample in kept):
        raise InvalidInput("No picture is left to teach with. What was sorted out: booru_train check --data DIR")
    counts = _pictures(sample for sample, _ in seen)
    left = {label for sample in kept for label in sample.labels} | untaught.keys()
    across = [(seen[a][0], seen[b][0]) for a, b in leaks]
    sides: dict[str, set[str]] = defaultdict(set)
    for sample in kept:
        sides[sample.group].add(sample.split)
    return Audit(
        samples=tuple(kept),
        counted=len(samples),
        unreadable=tuple(unreadable),
        plain=tuple(plain),
        copies=_paths(copies),
        contradictions=_paths(contradictions),
        near=_paths((seen[a][0], seen[b][0]) for a, b in pairs),
        leaks=_paths(pair for pair in across if "train" in {one.split for one in pair}),
        tested=_paths(pair for pair in across if "train" not in {one.split for one in pair}),
        divided=tuple(sorted(group for group, found in sides.items() if len(found) > 1)),
        rare={label: count for label, count in sorted(counts.items()) if label not in left},
        untaught=dict(sorted(untaught.items())),
        split_made=given == {""},
        shares_idle=given != {""} and tuple(shares) != SHARES,
    )


def _without_copies(
    seen: Sequence[tuple[Sample, Look]],
) -> tuple[list[tuple[Sample, Look]], list[Alike], list[Alike]]:
    """One of each set of equal pictures, that of test or val rather than that of train; none where labels differ."""
    by_digest: dict[str, list[tuple[Sample, Look]]] = defaultdict(list)
    for item in seen:
        by_digest[item[1].digest].append(item)
    kept, copies, contradictions = [], [], []
    for same in by_digest.values():
        first, *others = sorted(same, key=lambda item: item[0].split == "train")
        pairs = [(first[0], other) for other, _ in others]
        if len({frozenset(sample.labels) for sample, _ in same}) > 1:
            contradictions += pairs
        else:
            kept.append(first)
            copies += pairs
    return kept, copies, contradictions


def _look(sample: Sample) -> Look | None:
    """None where the picture cannot be read."""
    try:
        frame = read_picture(sample.path)
    except OSError:
        return None
    return look(frame if sample.box is None else crop_square(frame, sample.box, FACE))


def bits_of(looks: Sequence[Look]) -> Bits:
    """Their hashes, N × 8."""
    return np.frombuffer(b"".join(one.bits for one in looks), np.uint8).reshape(-1, 8)


def near(bits: Bits) -> list[tuple[int, int]]:
    """Pairs of rows of hashes that are near-duplicates'."""
    import faiss

    if len(bits) < 2:
        return []
    index = faiss.IndexBinaryFlat(64)
    index.add(bits)
    limits, _, found = index.range_search(bits, NEAR + 1)
    rows = np.repeat(np.arange(len(bits)), (limits[1:] - limits[:-1]).astype(np.intp))
    return [(int(a), int(b)) for a, b in zip(rows, found, strict=True) if a < b]


def _joined(samples: Sequence[Sample], alike: Sequence[Alike]) -> list[Sample]:
    """Groups that copies and near-duplicates link become one."""
    parent = {sample.group: sample.group for sample in (*samples, *chain.from_iterable(alike))}

    def root(group: str) -> str:
        while parent[group] != group:
            parent[group] = group = parent[parent[group]]
        return group

    for a, b in alike:
        parent[root(a.group)] = root(b.group)
    return [replace(sample, group=root(sample.group)) for sample in samples]


def _at_least(samples: Sequence[Sample], least: int) -> list[Sample]:
    """Samples with their labels of ``least`` pictures or more; those that have nothing else to say go."""
    counts = _pictures(samples)
    kept = []
    for sample in samples:
        labels = [label for label in sample.labels if counts[label] >= least]
        if labels or sample.rejected or (sample.tags is not None and sample.rejected is None):
            kept.append(sample if sample.tags is None else replace(sample, tags=tuple(labels)))
    return kept


def _pictures(samples: Iterable[Sample]) -> Counter[str]:
    """Of each label, however many tiles they were cut into."""
    return Counter(label for _, label in {(sample.path, label) for sample in samples for label in sample.labels})


def _line(what: str, names: Iterable[str]) -> str:
    listed = list(names)
    more = f", … ({len(listed) - SHOWN:,} more)" if len(listed) > SHOWN else ""
    return f"{len(listed):,} {what}: {', '.join(listed[:SHOWN])}{more}" if listed else ""


def _paths(alike: Iterable[Alike]) -> tuple[Pair, ...]:
    return tuple((a.path, b.path) for a, b in alike)


def _names(*pair: Path) -> str:
    return " ~ ".join("/".join(path.parts[-2:]) for path in pair)
