"""Many cases at once: each is decided by the same verb as one alone, and one that is refused stops no other."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from booru_ml.errors import BooruError, InvalidInput
from moderation import states
from moderation.models import Decision
from moderation.permissions import moderator
from moderation.services.decisions import approve, reject, undo

if TYPE_CHECKING:
    from moderation.permissions import Actor

MOST_AT_ONCE = 500
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class BulkOutcome:
    """``done``: the decisions that were made; ``refused``: (id, why) of what was left as it is."""

    done: tuple[Decision, ...]
    refused: tuple[tuple[int, BooruError], ...]


def decide_many(*, verb: str, cases: Iterable[tuple[int, int | None]], actor: Actor, note: str = "") -> BulkOutcome:
    """``approve`` or ``reject`` for every (case id, version looked at). Raises ``NotPermitted``, ``InvalidInput``."""
    moderator(actor)
    if verb not in states.POST_STATUS:
        raise InvalidInput(f"Cases are approved or rejected together; “{verb}” is neither.")
    decide = approve if verb == states.APPROVE else reject
    done, refused = [], []
    # By their ids: where the host has one transaction about a request, two of these would else wait in a circle.
    for case_id, version in _limited(sorted(dict(cases).items())):
        try:
            done.append(decide(case_id=case_id, actor=actor, version=version, note=note))
        except BooruError as error:
            refused.append((case_id, error))
    return BulkOutcome(tuple(done), tuple(refused))


def undo_many(*, decision_ids: Iterable[int], actor: Actor) -> BulkOutcome:
    """Undoes decisions, the latest first. Raises ``NotPermitted``, ``InvalidInput``."""
    moderator(actor)
    done, refused = [], []
    for decision_id in _limited(sorted(set(decision_ids), reverse=True)):
        try:
            done.append(undo(decision_id=decision_id, actor=actor))
        except BooruError as error:
            refused.append((decision_id, error))
    return BulkOutcome(tuple(done), tuple(refused))


def _limited(items: Iterable[T]) -> list[T]:
    listed = list(items)
    if len(listed) > MOST_AT_ONCE:
        raise InvalidInput(f"At most {MOST_AT_ONCE} cases are decided at once; {len(listed)} were sent.")
    return listed
