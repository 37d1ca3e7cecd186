"""Who may see and decide suggestions: plain functions of a user and what the board knows of the post."""

from __future__ import annotations

from typing import Any

from booru_ml.types import PostFacts

DECIDE = "booru_tagging.decide_suggestion"
DELETED = "deleted"


def may_decide_any(actor: Any) -> bool:
    """Moderators: holders of ``booru_tagging.decide_suggestion``."""
    return bool(_known(actor) and actor.has_perm(DECIDE))


def may_decide(actor: Any, facts: PostFacts) -> bool:
    """The post's uploader while the post stands, and moderators."""
    owns = _known(actor) and facts.uploader_id is not None and facts.uploader_id == actor.pk
    return bool(owns and facts.status != DELETED) or may_decide_any(actor)


def may_undo(actor: Any, facts: PostFacts, *, decided_by: Any, automatic: bool) -> bool:
    """Moderators; uploaders undo their own decisions and automatic ones, never a moderator's."""
    own = automatic or (decided_by is not None and decided_by == getattr(actor, "pk", None))
    return may_decide_any(actor) or (own and may_decide(actor, facts))


def may_see(actor: Any, facts: PostFacts) -> bool:
    """Everyone who is logged in; a deleted post's suggestions only moderators."""
    return _known(actor) and (facts.status != DELETED or may_decide_any(actor))


def _known(actor: Any) -> bool:
    return actor is not None and bool(actor.is_authenticated) and bool(actor.is_active)
