"""Which suggestions follow from what the networks said. Pure: findings and matches in, proposals out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from booru_ml.types import Category, Finding, FloatArray, PostFacts, Rating, Scores, TagRef
from booru_ml.vocabulary import tag_or_none

if TYPE_CHECKING:
    from embeddings.types import Match

# Where neither the checkpoint nor the settings name a threshold.
DEFAULTS: Mapping[str, float] = {
    Category.GENERAL: 0.35,
    Category.COPYRIGHT: 0.5,
    Category.META: 0.5,
    Category.CHARACTER: 0.75,
    Category.ARTIST: 0.75,
    Category.RATING: 0.5,
    Category.QUALITY: 0.5,
}
MODEL, PROTOTYPE = "model", "prototype"
# Drawn is what a board of drawings expects; only the exception is worth a tag, under Danbooru's name for it.
MEDIUM_TAGS = {"photo": "photo_(medium)"}
# Grades that a board expects of a post: nothing to decide, as with a rating that agrees.
EXPECTED_GRADES = frozenset({"finished", "good"})
MOST_PER_HEAD = 100


@dataclass(frozen=True, slots=True)
class Proposal:
    """A suggestion in the making. ``score`` 0–1; ``evidence`` is JSON-ready and says why (see ``wording``)."""

    name: str
    category: Category
    score: float
    source: str
    model_version: str
    gallery_revision: int | None = None
    evidence: Mapping[str, Any] = field(default_factory=dict)

    @property
    def tag(self) -> TagRef:
        return TagRef(self.name, self.category)


@dataclass(frozen=True, slots=True)
class Thresholds:
    """Least scores. ``settings`` by ``category`` or ``category:name`` win over a checkpoint's, those over defaults.

    ``checkpoints``: by checkpoint version, head and label. A head's vector is worked out once and kept.
    """

    settings: Mapping[str, float] = field(default_factory=dict)
    checkpoints: Mapping[str, Mapping[str, Mapping[str, float]]] = field(default_factory=dict)
    _vectors: dict[tuple[str, str, int], FloatArray] = field(default_factory=dict, compare=False, repr=False)

    def least(self, name: str, category: Category, *, model: str = "", head: str = "", label: str = "") -> float:
        """``label`` is the checkpoint's own word, where it differs from the tag's ``name``."""
        for key in (f"{category}:{name}", str(category)):
            if key in self.settings:
                return float(self.settings[key])
        return float(self.checkpoints.get(model, {}).get(head, {}).get(label or name, DEFAULTS[category]))

    def vector(self, scores: Scores) -> FloatArray:
        """Thresholds of all labels of a head, float32 (L,)."""
        key = (scores.model, scores.head, len(scores.labels))
        if key not in self._vectors:
            pairs = zip(scores.labels, scores.categories, strict=True)
            least = [self.least(name, category, model=scores.model, head=scores.head) for name, category in pairs]
            self._vectors[key] = np.asarray(least, np.float32)
        return self._vectors[key]


def proposals(
    finding: Finding | None,
    matches: Iterable[Match],
    thresholds: Thresholds,
    *,
    model_version: str = "",
    per_subject: int = 3,
) -> tuple[Proposal, ...]:
    """Everything worth suggesting for one picture, one proposal per category and name, the best score each.

    ``per_subject``: how many names may compete for one face (or the whole picture) in one category.
    Without a finding only the gallery's ``matches`` speak, for vectors of ``model_version``.
    """
    found: list[Proposal] = []
    if finding is not None:
        model_version = finding.embedding_model
        for head, propose in HEADS.items():
            if scores := finding.scores.get(head):
                found += propose(scores, thresholds)
    found += _recognised(matches, model_version, per_subject)
    best: dict[TagRef, Proposal] = {}
    for item in sorted(found, key=lambda item: -item.score):
        best.setdefault(item.tag, item)
    return tuple(best.values())


def _tags(scores: Scores, thresholds: Thresholds) -> list[Proposal]:
    """Labels over their thresholds. Ratings among a tagger's labels belong to the rating head and are left out."""
    least = thresholds.vector(scores)
    over = np.flatnonzero(scores.values >= least)
    found = []
    for index in sorted(over, key=lambda index: -scores.values[index])[:MOST_PER_HEAD]:
        tag = tag_or_none(scores.labels[index], scores.categories[index])
        if tag and tag.category.is_tag:
            evidence = {"kind": "tagger", "threshold": round(float(least[index]), 4)}
            found.append(_proposal(tag, scores, float(scores.values[index]), evidence))
    return found


def _medium(scores: Scores, thresholds: Thresholds) -> list[Proposal]:
    found = []
    for label, name in MEDIUM_TAGS.items():
        share = scores.as_dict().get(label, 0.0)
        least = thresholds.least(name, Category.META, model=scores.model, head=scores.head, label=label)
        if share >= least:
            evidence = {"kind": "tagger", "threshold": round(least, 4)}
            found.append(_proposal(TagRef(name, Category.META), scores, share, evidence))
    return found


def _rating(scores: Scores, thresholds: Thresholds) -> list[Proposal]:
    """The likeliest rating, whatever the post is rated now: as a second opinion it stays true when that changes.

    A suggestion that only confirms the present rating is kept, for its probabilities, but not offered (``confirms``).
    """
    shares = ratings(scores.as_dict())
    return _likeliest({str(rating): share for rating, share in shares.items()}, Category.RATING, scores, thresholds)


def _quality(scores: Scores, thresholds: Thresholds) -> list[Proposal]:
    return _likeliest(scores.as_dict(), Category.QUALITY, scores, thresholds)


HEADS = {
    "tags": _tags,
    "characters": _tags,
    "artist": _tags,
    "medium": _medium,
    "rating": _rating,
    "quality": _quality,
}


def _likeliest(
    shares: Mapping[str, float], category: Category, scores: Scores, thresholds: Thresholds
) -> list[Proposal]:
    if not shares:
        return []
    name = max(shares, key=lambda name: shares[name])
    tag = tag_or_none(name, category)
    if tag is None or not shares[name] >= thresholds.least(name, category, model=scores.model, head=scores.head):
        return []
    evidence = {"kind": str(category), "shares": {label: round(share, 4) for label, share in shares.items()}}
    return [_proposal(tag, scores, shares[name], evidence)]


def _recognised(matches: Iterable[Match], model_version: str, per_subject: int) -> list[Proposal]:
    """Known subjects only: below the gallery's own bar the honest answer is no suggestion."""
    named: dict[tuple[int | None, str], int] = {}
    found = []
    for match in sorted((match for match in matches if match.known), key=lambda match: -match.probability):
        place = (match.face, match.category)
        named[place] = named.get(place, 0) + 1
        tag = tag_or_none(match.name, Category(match.category))
        if tag is None or named[place] > per_subject:
            continue
        evidence = {
            "kind": "prototype",
            "subject": match.subject_id,
            "subject_name": match.name,
            "similarity": round(match.similarity, 4),
            "margin": round(match.margin, 4),
            "supports": match.support_count,
            "nearest": [str(post_id) for post_id in match.nearest_post_ids],
            "face": match.face,
        }
        if match.guess:
            evidence["guess"] = True
        if box := match.box:
            evidence["box"] = [round(side, 4) for side in (box.x, box.y, box.width, box.height)]
        score = unit(match.probability)
        found.append(
            Proposal(tag.name, tag.category, score, PROTOTYPE, model_version, match.gallery_revision, evidence)
        )
    return found


def ratings(said: Mapping[str, float]) -> dict[Rating, float]:
    """A head's answer by rating, scaled to sum 1 (taggers answer with independent sigmoids)."""
    known = {rating: max(said[rating], 0.0) for rating in Rating if rating in said}
    total = sum(known.values())
    return {rating: share / total for rating, share in known.items()} if total > 0 else {}


def confirms(name: str, category: str, facts: PostFacts | None) -> bool:
    """Whether the post already is what the suggestion says, so that accepting it would change nothing."""
    if category == Category.QUALITY:
        return name in EXPECTED_GRADES
    if facts is None:
        return False
    if category == Category.RATING:
        return facts.rating is not None and name == facts.rating
    return any(tag.name == name for tag in facts.tags)


def may_apply(name: str, category: str, score: float, thresholds: Mapping[str, float], facts: PostFacts) -> bool:
    """Whether a suggestion may be written without a person: a tag whose category is opened and that clears the bar.

    Ratings and grades are always left to people.
    """
    least = thresholds.get(category)
    clears = least is not None and score >= least
    return clears and Category(category).is_tag and not confirms(name, category, facts)


def _proposal(tag: TagRef, scores: Scores, score: float, evidence: Mapping[str, Any]) -> Proposal:
    return Proposal(tag.name, tag.category, unit(score), MODEL, scores.model, None, evidence)


def unit(score: float) -> float:
    """Within 0–1, which rounding, or a sum of probabilities, may leave."""
    return min(max(float(score), 0.0), 1.0)
