"""Several moderators at once: a claim says "I am looking at this" for a short while, by the database's clock.

An open case page renews its claim; one that was left behind runs out by itself.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from django.db import transaction
from django.db.models import QuerySet
from django.db.models.functions import Now

from booru_ml.conf import config
from booru_ml.errors import NotFound, StaleState
from moderation import states
from moderation.models import Case, CaseQuerySet
from moderation.permissions import moderator

if TYPE_CHECKING:
    from moderation.permissions import Actor

CLAIM_NEXT_TRIES = 20


class Claimed(StaleState):
    """Another moderator holds the case. ``extra``: ``claimed_by``, ``claimed_until``."""

    code = "claimed"


@transaction.atomic
def claim(*, case_id: int, actor: Actor) -> Case:
    """Takes an open case for ``CLAIM_SECONDS``, or renews one's own claim. Raises ``Claimed``, ``StaleState``."""
    user = moderator(actor)
    if not _take(Case.objects.filter(pk=case_id, state=states.OPEN).free_for(user.pk), user.pk):
        raise refusal(case_id=case_id, actor_id=user.pk)
    return Case.objects.select_related("claimed_by").get(pk=case_id)


@transaction.atomic
def release(*, case_id: int, actor: Actor) -> Case:
    """Gives one's claim back; nothing happens if the case is free already. Raises ``Claimed`` for another's claim."""
    user = moderator(actor)
    Case.objects.filter(pk=case_id, claimed_by_id=user.pk).update(claimed_by=None, claimed_until=None)
    case = find(case_id)
    if not Case.objects.filter(pk=case_id).free_for(user.pk).exists():
        raise claimed_error(case)
    return case


@transaction.atomic
def claim_next(*, actor: Actor, after: Case | None = None, reason: str | None = None) -> Case | None:
    """Claims the first free open case (behind ``after`` in the queue); None at the queue's end.

    Two moderators who ask at the same moment get two different cases.
    """
    user = moderator(actor)
    waiting = Case.objects.filter(state=states.OPEN).with_reason(reason)
    if after is not None:
        waiting = waiting.behind(after)
    for _ in range(CLAIM_NEXT_TRIES):
        candidate = waiting.free_for(user.pk).first()
        if candidate is None:
            return None
        if _take(Case.objects.filter(pk=candidate.pk, state=states.OPEN).free_for(user.pk), user.pk):
            return Case.objects.select_related("claimed_by").get(pk=candidate.pk)
    return None


def find(case_id: int) -> Case:
    """The case with its holder. Raises ``NotFound``."""
    case = Case.objects.select_related("claimed_by").filter(pk=case_id).first()
    if case is None:
        raise NotFound(f"There is no case {case_id}; its post may have been removed from the board.")
    return case


def refusal(*, case_id: int, actor_id: Any, version: int | None = None) -> StaleState:
    """Why a conditional update of an open case found no row, as the error to raise. Raises ``NotFound``."""
    case = find(case_id)
    extra: dict[str, Any] = {"state": case.state, "version": case.version}
    if case.state != states.OPEN:
        last = case.decisions.select_related("actor").filter(to_state=case.state).first()
        by = f" by {last.actor.get_username()}" if last and last.actor else ""
        return StaleState(f"This case was {case.state}{by} in the meantime.", **extra)
    if not Case.objects.filter(pk=case_id).free_for(actor_id).exists():
        return claimed_error(case)
    if version is not None and version != case.version:
        return StaleState("The reasons of this case changed since you looked; look again.", **extra)
    return StaleState("This case changed at this very moment; look again.", **extra)


def claimed_error(case: Case) -> Claimed:
    holder = case.claimed_by.get_username() if case.claimed_by else "Somebody"
    until = case.claimed_until.isoformat() if case.claimed_until else None
    return Claimed(f"{holder} is looking at this case right now.", claimed_by=holder, claimed_until=until)


def _take(rows: CaseQuerySet | QuerySet[Case], user_id: Any) -> int:
    lease = timedelta(seconds=config().CLAIM_SECONDS)
    return rows.update(claimed_by_id=user_id, claimed_until=Now() + lease)
