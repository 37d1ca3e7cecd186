"""Orders to look for one character or artist on every post: given by people, carried out by ``tagging.sweeper``."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from django.db import IntegrityError, transaction
from django.db.models.functions import Now

from booru_ml.errors import InvalidInput, NotFound, NotPermitted, StaleState
from booru_ml.host.loader import host
from embeddings import recognition
from embeddings.models import Subject
from embeddings.selectors import ENROL
from tagging.models import Sweep

State = Sweep.State


def begin(*, subject_id: int, threshold: float | None = None, actor: Any = None) -> Sweep:
    """Orders a look at all posts; suggestions of at least ``threshold`` (the gallery's own bar without) are made.

    Raises ``NotPermitted``, ``NotFound``, ``InvalidInput``, and ``StaleState`` where one is under way for this subject.
    """
    _permit(actor)
    subject = Subject.objects.filter(pk=subject_id).first()
    if subject is None:
        raise NotFound("There is no such character or artist.")
    least = recognition.lowest_bar(subject.category)
    bar = least if threshold is None else threshold
    if not least <= bar <= 1:
        lowest = math.ceil(round(100 * least, 6)) / 100
        raise InvalidInput(f"The threshold is from {lowest:.2f}, below which the gallery names nobody, to 1.")
    if not subject.enabled:
        raise InvalidInput(f"{subject.name} is disabled; enable it first.")
    try:
        with transaction.atomic():
            return Sweep.objects.create(
                subject_id=subject.pk,
                name=subject.name,
                category=subject.category,
                threshold=bar,
                total=host().count(),
                actor=actor,
            )
    except IntegrityError:
        raise StaleState(f"{subject.name} is being looked for already.", code="under_way") from None


def pause(*, sweep_id: int, actor: Any = None) -> Sweep:
    return _turn(sweep_id, actor, {State.RUNNING: State.PAUSED})


def resume(*, sweep_id: int, actor: Any = None) -> Sweep:
    """Goes on with one that was paused, or with an undo that a fault has stopped."""
    return _turn(sweep_id, actor, {State.PAUSED: State.RUNNING, State.UNDOING: State.UNDOING}, fault="")


def cancel(*, sweep_id: int, actor: Any = None) -> Sweep:
    """Ends it; what it has suggested stays, until it is undone."""
    return _turn(sweep_id, actor, {State.RUNNING: State.CANCELLED, State.PAUSED: State.CANCELLED}, finished_at=Now())


def undo(*, sweep_id: int, actor: Any = None) -> Sweep:
    """Takes back as a whole what it changed, in the background. What somebody decided meanwhile stays decided."""
    starts: dict[str, str] = dict.fromkeys(
        [State.RUNNING, State.PAUSED, State.FINISHED, State.CANCELLED], State.UNDOING
    )
    return _turn(sweep_id, actor, starts, finished_at=None, fault="")


def _turn(sweep_id: int, actor: Any, moves: Mapping[str, str], **values: Any) -> Sweep:
    _permit(actor)
    order = Sweep.objects.filter(pk=sweep_id).first()
    if order is None:
        raise NotFound("There is no such search.")
    try:
        with transaction.atomic():
            there = Sweep.objects.filter(pk=sweep_id, state=order.state)
            moved = order.state in moves and there.update(state=moves[order.state], **values)
    except IntegrityError:
        raise StaleState(f"{order.name} is being looked for again; end that search first.") from None
    order.refresh_from_db()
    if not moved:
        raise StaleState(f"This search is {order.get_state_display().lower()} by now.", state=order.state)
    return order


def _permit(actor: Any) -> None:
    """``actor`` None is the machine's own, as from a command."""
    if actor is not None and not actor.has_perm(ENROL):
        raise NotPermitted("Only who may enrol characters and artists may look for them on old posts.")
