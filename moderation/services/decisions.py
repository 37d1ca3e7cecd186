"""Approve, reject, undo: one permission, one guarded change, one audit row with what really changed on the board."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from django.db import transaction
from django.db.models import F
from django.db.models.functions import Now

from booru_ml.errors import InvalidInput, NotFound, StaleState
from booru_ml.host.loader import host
from moderation import states
from moderation.models import Case, Decision, Flag
from moderation.permissions import moderator
from moderation.services.claims import find, refusal
from tagging import services as tagging

if TYPE_CHECKING:
    from moderation.permissions import Actor

MAX_NOTE = 2000


def approve(
    *,
    case_id: int,
    actor: Actor,
    version: int | None = None,
    note: str = "",
    suggestion_ids: Sequence[int] = (),
) -> Decision:
    """The post becomes active. ``suggestion_ids`` are accepted along with it, and undone along with it.

    ``version`` is that of the case the moderator looked at. Raises ``NotPermitted``, ``NotFound``, ``Claimed`` where
    another moderator holds the case, ``StaleState`` where it was decided or its reasons changed.
    """
    return _decide(states.APPROVE, case_id, actor, version, note, suggestion_ids)


def reject(*, case_id: int, actor: Actor, version: int | None = None, note: str = "") -> Decision:
    """The post becomes deleted. Raises as ``approve`` does."""
    return _decide(states.REJECT, case_id, actor, version, note)


@transaction.atomic
def _decide(
    verb: str,
    case_id: int,
    actor: Actor,
    version: int | None,
    note: str,
    suggestion_ids: Sequence[int] = (),
) -> Decision:
    user = moderator(actor)
    to_state = states.TRANSITIONS[states.OPEN, verb]
    # Suggestions, then the post, then the case, as the worker writes them: one order of locks, so nobody waits in a
    # circle. What was written to the post in vain is rolled back.
    if suggestion_ids:
        tagging.hold(suggestion_ids=suggestion_ids)
    accepted = [tagging.accept(suggestion_id=pk, actor=actor) for pk in dict.fromkeys(suggestion_ids)]
    delta: dict[str, Any] = _set_status(find(case_id).post_id, states.POST_STATUS[verb])
    rows = Case.objects.filter(pk=case_id, state=states.OPEN).free_for(user.pk)
    if version is not None:
        rows = rows.filter(version=version)
    changed = rows.update(
        state=to_state,
        version=F("version") + 1,
        claimed_by=None,
        claimed_until=None,
        decided_at=Now(),
    )
    if not changed:
        raise refusal(case_id=case_id, actor_id=user.pk, version=version)
    case = find(case_id)
    if any(item.suggestion.post_id != case.post_id for item in accepted):
        raise InvalidInput("A suggestion that was to be accepted belongs to another post.")
    delta |= {
        "reasons": sorted(Flag.objects.filter(post_id=case.post_id, active=True).values_list("reason", flat=True)),
        "sha256": case.analysis.get("sha256", ""),
    }
    if accepted:
        delta["tag_decisions"] = [item.pk for item in accepted]
    return Decision.objects.create(
        case=case,
        actor=user,
        verb=verb,
        from_state=states.OPEN,
        to_state=to_state,
        delta=delta,
        note=note[:MAX_NOTE],
    )


@transaction.atomic
def undo(*, decision_id: int, actor: Actor, note: str = "") -> Decision:
    """Takes back the last decision on a case: the post gets its real former status, the case its place in the queue.

    Raises ``NotFound``; ``InvalidInput`` for what cannot be undone; ``StaleState`` where it was undone already, where
    something was decided after it, or where the post's status was changed on the board since.
    """
    user = moderator(actor)
    decision = Decision.objects.select_related("case").filter(pk=decision_id).first()
    if decision is None:
        raise NotFound(f"There is no decision {decision_id}.")
    if decision.verb not in states.POST_STATUS:
        raise InvalidInput("Only approvals and rejections can be undone.")
    case = decision.case
    if decision.delta.get("tag_decisions"):
        tagging.hold(decision_ids=decision.delta["tag_decisions"])
    taken_back = [_take_back(pk, actor) for pk in reversed(decision.delta.get("tag_decisions", ()))]
    back_to = states.TRANSITIONS[decision.to_state, states.UNDO]
    untouched = case.state == decision.to_state and is_last(decision)
    delta: dict[str, Any] = _restore_status(case.post_id, decision.delta) if untouched else {}
    changed = untouched and Case.objects.filter(pk=case.pk, version=case.version, state=decision.to_state).update(
        state=back_to,
        version=F("version") + 1,
        claimed_by=None,
        claimed_until=None,
        decided_at=None,
    )
    if not changed:
        raise _undo_refusal(decision)
    if delta["status_before"] != decision.delta["status_after"]:
        raise StaleState(
            f"The post became “{delta['status_before']}” on the board since; undoing would overwrite that.",
            status=delta["status_before"],
        )
    if taken_back:
        delta["tag_decisions"] = [pk for pk in taken_back if pk is not None]
    return Decision.objects.create(
        case=find(case.pk),
        actor=user,
        verb=states.UNDO,
        from_state=decision.to_state,
        to_state=back_to,
        delta=delta,
        note=note[:MAX_NOTE],
        undoes=decision,
    )


def is_last(decision: Decision) -> bool:
    """Whether nothing else was decided on the case since, apart from decisions that were undone themselves."""
    later = Decision.objects.filter(case_id=decision.case_id, pk__gt=decision.pk)
    standing = later.exclude(verb=states.UNDO).filter(undone_by=None)
    return not standing.exists() and not later.filter(undoes=decision).exists()


def _set_status(post_id: Any, status: str) -> dict[str, str]:
    """The real change: a board without statuses, or with fewer than ours, may end up elsewhere than asked for."""
    before = host().set_status(post_id, status)
    facts = host().facts([post_id]).get(post_id)
    return {"status_before": before, "status_after": facts.status if facts else status}


def _restore_status(post_id: Any, delta: Mapping[str, Any]) -> dict[str, str]:
    before, after = delta["status_before"], delta["status_after"]
    if before == after:
        return {"status_before": after, "status_after": before}
    return _set_status(post_id, before)


def _take_back(tag_decision_id: int, actor: Actor) -> int | None:
    """Undoes a suggestion that was accepted along with the case; one that was undone by itself meanwhile stays so."""
    try:
        return tagging.undo(decision_id=tag_decision_id, actor=actor).pk
    except StaleState:
        return None


def _undo_refusal(decision: Decision) -> StaleState:
    undone = Decision.objects.select_related("actor").filter(undoes=decision).first()
    if undone:
        by = f" by {undone.actor.get_username()}" if undone.actor else ""
        return StaleState(f"This decision was undone already{by}.")
    return StaleState("Something was decided on this case since; undo the latest decision first.")
