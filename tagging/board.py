"""What a decision writes to the board, as a delta that can be taken back.

Deltas are JSON (see ``TagDecision``) and hold only what really changed, so that taking one back never touches what
others did meanwhile. The gallery is always written before the post: workers lock them in this order, too.
"""

from __future__ import annotations

from typing import Any

from booru_ml.host.loader import host
from booru_ml.types import Category, Rating, TagRef
from embeddings import services as embeddings
from tagging import trust
from tagging.models import Suggestion

Delta = dict[str, Any]
LEARNT = frozenset({Category.CHARACTER, Category.ARTIST})


def tag_of(row: Suggestion) -> TagRef:
    return TagRef(row.name, Category(row.category))


def write(row: Suggestion) -> Delta:
    """Puts an accepted suggestion on the post: a tag into the tags, a rating into the rating, a grade nowhere."""
    category = Category(row.category)
    if category is Category.RATING:
        return set_rating(row.post_id, row.name)
    if not category.is_tag:
        return {}
    added = host().add_tags(row.post_id, [tag_of(row)])
    return {"tags_added": _listed(added)} if added else {}


def set_rating(post_id: Any, rating: str) -> Delta:
    before = host().set_rating(post_id, Rating(rating))
    return {} if before == rating else {"rating_before": before and str(before), "rating_after": str(rating)}


def learn(row: Suggestion, *, positive: bool, actor: Any) -> Delta:
    """Teaches the gallery what a person said about a character or artist."""
    if Category(row.category) not in LEARNT:
        return {}
    support_id = embeddings.learn(
        post_id=row.post_id,
        name=row.evidence.get("subject_name", row.name),
        category=Category(row.category),
        positive=positive,
        actor=actor,
        face=row.evidence.get("face"),
        weight=trust.weight_of(actor),
    )
    return {} if support_id is None else {"support_added": support_id}


def take_back(post_id: Any, delta: Delta) -> Delta:
    """Reverts ``delta`` and returns what that really changed.

    A tag that is gone or back already stays so; a rating is restored only where it still is the one that was set:
    somebody's later choice stands.
    """
    done: Delta = {}
    support_id = delta.get("support_added")
    if support_id is not None and embeddings.unlearn(support_id=support_id):
        done["support_removed"] = support_id
    if added := _tags(delta.get("tags_added")):
        done["tags_removed"] = _listed(host().remove_tags(post_id, added))
    if removed := _tags(delta.get("tags_removed")):
        done["tags_added"] = _listed(host().add_tags(post_id, removed))
    if after := delta.get("rating_after"):
        done |= _restore_rating(post_id, delta.get("rating_before"), after)
    return {key: value for key, value in done.items() if value != []}


def _restore_rating(post_id: Any, before: str | None, after: str) -> Delta:
    facts = host().facts([post_id]).get(post_id)
    if facts is None or facts.rating != after:
        return {}
    host().set_rating(post_id, Rating(before) if before else None)
    return {"rating_before": after, "rating_after": before}


def _listed(tags: tuple[TagRef, ...]) -> list[list[str]]:
    return [[tag.name, str(tag.category)] for tag in tags]


def _tags(listed: Any) -> list[TagRef]:
    return [TagRef(name, Category(category)) for name, category in listed or ()]
