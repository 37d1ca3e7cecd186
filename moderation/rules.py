"""Which flags follow from what the networks said of a picture and what the board knows of its post.

Pure: an ``Analysis``, ``PostFacts``, the picture's neighbours and thresholds in, ``FlagDraft`` out. Every draft carries
its evidence in ``detail``; ``sentence`` words it for people, so that wording may change without re-analysing anything.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Protocol

from booru_ml.types import Analysis, Finding, PostFacts, Rating
from tagging.rules import ratings, unit
from tagging.wording import RATINGS

RATING_TOO_LOW = "rating_too_low"
EXPLICIT = "explicit"
NOT_DRAWN = "not_drawn"
LOW_QUALITY = "low_quality"
DUPLICATE = "duplicate"
UNREADABLE = "unreadable"

REASONS = (RATING_TOO_LOW, EXPLICIT, NOT_DRAWN, LOW_QUALITY, DUPLICATE, UNREADABLE)

# Least score at which a flag is raised, where neither a checkpoint nor ``BOORU_ML["FLAG_THRESHOLDS"]`` says otherwise;
# a value above 1 switches a flag off. ``rating_too_low`` is the probability that the true rating is more severe than
# the uploader's: 0.6 leaves a margin of 0.2 over the opposite. The explicit threshold stays well above 0.31, which the
# bundled rating network reaches on harmless drawings; it takes many sketches for photos, so ``not_drawn`` is strict.
# ``duplicate`` is a cosine similarity.
THRESHOLDS: Mapping[str, float] = MappingProxyType(
    {
        RATING_TOO_LOW: 0.6,
        EXPLICIT: 0.6,
        NOT_DRAWN: 0.95,
        LOW_QUALITY: 0.6,
        DUPLICATE: 0.95,
    }
)
MOST_NEIGHBOURS = 6


class Near(Protocol):
    """Another post and its cosine similarity to this picture (``embeddings.types.Neighbour`` is one)."""

    @property
    def post_id(self) -> Any: ...
    @property
    def similarity(self) -> float: ...


@dataclass(frozen=True, slots=True)
class FlagDraft:
    """A reason to look at a post. ``score`` 0–1; ``detail`` is JSON-ready evidence; ``model`` said so."""

    reason: str
    score: float
    detail: Mapping[str, Any] = field(default_factory=dict)
    model: str = ""


def flags(
    analysis: Analysis,
    facts: PostFacts,
    neighbours: Iterable[Near] = (),
    thresholds: Mapping[str, float] = THRESHOLDS,
) -> tuple[FlagDraft, ...]:
    """The flags that follow, at most one per reason, in the order of ``REASONS``."""
    least = {**THRESHOLDS, **thresholds}
    if analysis.refusal is not None:
        detail = {"code": analysis.refusal.code, "message": analysis.refusal.message}
        return (FlagDraft(UNREADABLE, 1.0, detail),)
    if analysis.finding is None:
        raise ValueError(f"The analysis of job {analysis.job_id} has neither finding nor refusal.")
    finding = analysis.finding
    drafts = (
        _rating_too_low(finding, facts.rating),
        _explicit(finding, facts.rating),
        _not_drawn(finding),
        _low_quality(finding),
        _duplicate(finding, facts, neighbours, least[DUPLICATE]),
    )
    return tuple(draft for draft in drafts if draft and draft.score >= least[draft.reason])


def _rating_too_low(finding: Finding, rated: Rating | None) -> FlagDraft | None:
    """Probability mass of the ratings that are more severe than the uploader's."""
    head = finding.scores.get("rating")
    if head is None or rated is None:
        return None
    above = {r: share for r, share in ratings(head.as_dict()).items() if r.severity > rated.severity}
    if not above:
        return None
    predicted = max(above, key=lambda r: (above[r], r.severity))
    detail = {"rated": rated.value, "predicted": predicted.value}
    return FlagDraft(RATING_TOO_LOW, unit(sum(above.values())), detail, head.model)


def _explicit(finding: Finding, rated: Rating | None) -> FlagDraft | None:
    """The mass of explicit classes; silent where the uploader said "explicit" already, as there is nothing to find."""
    if rated is Rating.EXPLICIT:
        return None
    if head := finding.scores.get("nsfw"):
        said = head.as_dict()
        shares = {label: round(said[label], 4) for label in ("hentai", "porn") if label in said}
        return FlagDraft(EXPLICIT, unit(sum(shares.values())), {"classes": shares}, head.model)
    if head := finding.scores.get("rating"):
        share = ratings(head.as_dict()).get(Rating.EXPLICIT, 0.0)
        return FlagDraft(EXPLICIT, unit(share), {"classes": {"rating e": round(share, 4)}}, head.model)
    return None


def _not_drawn(finding: Finding) -> FlagDraft | None:
    head = finding.scores.get("medium")
    if head is None or "photo" not in head.labels:
        return None
    return FlagDraft(NOT_DRAWN, unit(head.as_dict()["photo"]), {}, head.model)


def _low_quality(finding: Finding) -> FlagDraft | None:
    """Probability of the worst grade: ``poor``, else the last label, as grades are listed best first."""
    head = finding.scores.get("quality")
    if head is None or not head.labels:
        return None
    worst = "poor" if "poor" in head.labels else head.labels[-1]
    return FlagDraft(LOW_QUALITY, unit(head.as_dict()[worst]), {"grade": worst}, head.model)


def _duplicate(finding: Finding, facts: PostFacts, neighbours: Iterable[Near], least: float) -> FlagDraft | None:
    posts = closest(facts.id, neighbours, least=least)
    if not posts:
        return None
    return FlagDraft(DUPLICATE, unit(posts[0]["similarity"]), {"posts": posts}, finding.embedding_model)


def closest(post_id: Any, neighbours: Iterable[Near], *, least: float) -> list[dict[str, Any]]:
    """The nearest other posts from ``least`` similarity on, best first, as JSON: ``{"post", "similarity"}``."""
    best: dict[Any, float] = {}
    for other in neighbours:
        if other.post_id != post_id and other.similarity >= least:
            best[other.post_id] = max(best.get(other.post_id, -1.0), float(other.similarity))
    ranked = sorted(best.items(), key=lambda item: (-item[1], str(item[0])))[:MOST_NEIGHBOURS]
    return [{"post": str(other), "similarity": round(similarity, 4)} for other, similarity in ranked]


def sentence(reason: str, score: float, detail: Mapping[str, Any]) -> str:
    """What a flag says, for people. Tolerates evidence that older versions stored."""
    sure = percent(score)
    match reason:
        case "rating_too_low" if "rated" in detail and "predicted" in detail:
            rated, predicted = (RATINGS.get(detail[key], detail[key]) for key in ("rated", "predicted"))
            return f"Rated {rated} but looks {predicted}: {sure} likely to need a more severe rating."
        case "rating_too_low":
            return f"Looks more severe than it is rated ({sure})."
        case "explicit":
            return f"Looks explicit ({sure}), and is not rated so."
        case "not_drawn":
            return f"Looks like a photo rather than a drawing ({sure})."
        case "low_quality":
            return f"Looks like a poor sketch ({sure})."
        case "duplicate":
            posts = [str(item.get("post")) for item in detail.get("posts", ())]
            of = f"post {posts[0]}" if posts else "another post"
            more = f" and {len(posts) - 1} more" if len(posts) > 1 else ""
            return f"Nearly the same picture as {of}{more} ({sure} alike)."
        case "unreadable":
            return f"The picture cannot be analysed: {detail.get('message') or 'no reason was given.'}"
    return f"{reason.replace('_', ' ').capitalize()} ({sure})."


def percent(share: float) -> str:
    """``0.873`` → ``87%``; a share that is not all or nothing never reads as such."""
    whole = round(share * 100)
    if whole >= 100:
        return "100%" if share >= 1 else "99%"
    return "<1%" if whole <= 0 < round(share, 4) else f"{max(whole, 0)}%"
