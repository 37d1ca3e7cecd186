"""Who may do what with the queue: ``booru_moderation.view_case`` reads it, ``decide_case`` reads and decides."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias, cast

from booru_ml.errors import NotPermitted

if TYPE_CHECKING:
    from django.contrib.auth.base_user import AbstractBaseUser
    from django.contrib.auth.models import AnonymousUser, User

    Actor: TypeAlias = AbstractBaseUser | AnonymousUser

DECIDE = "booru_moderation.decide_case"
VIEW = "booru_moderation.view_case"


def may_decide(actor: Actor) -> bool:
    """Claim, approve, reject, undo."""
    return _holds(actor, DECIDE)


def may_view(actor: Actor) -> bool:
    """Read the queue; whoever decides may read."""
    return _holds(actor, DECIDE) or _holds(actor, VIEW)


def moderator(actor: Actor) -> User:
    """``actor``, known to be a moderator. Raises ``NotPermitted``."""
    if not may_decide(actor):
        raise NotPermitted("Only moderators decide cases: the permission “Can approve and reject posts” is missing.")
    return cast("User", actor)


def _holds(actor: Actor, permission: str) -> bool:
    return bool(actor.is_active and cast("User", actor).has_perm(permission))
