"""Who put which model in force: the verbs, and what they check before anything changes.

A promotion is one row. It and the order to look at old posts again are written together or not at all; workers go over
by themselves (``booru_ml.pipeline.models``).
"""

from __future__ import annotations

import logging
import time
from collections.abc import Collection
from typing import Any

from django.db import IntegrityError, InterfaceError, OperationalError, transaction
from django.db.models import F
from django.db.models.functions import Now

from booru_ml import conf, registry
from booru_ml.checkpoint import EMBEDDING, Checkpoint
from booru_ml.errors import CheckpointError, InvalidInput, NotFound, StaleState
from booru_ml.models import ModelVersion, Promotion
from booru_ml.pipeline import orders
from booru_ml.pipeline.outbox import database
from booru_ml.registry import Member, Selection

logger = logging.getLogger(__name__)

CHUNK = 200
"""Suggestions that are withdrawn in one transaction."""
SLICE_SECONDS = 0.3
"""How long a worker withdraws at most before it turns to its pictures again."""
GUESSES = (
    "Nobody found out what its vectors' similarities mean, so whom it recognises is a guess. Calibrate its folder "
    "(manage.py booru_calibrate), add and promote that, or leave embedding to another model by --tasks."
)

Verb = Promotion.Verb


def find(name: str) -> ModelVersion:
    """A registered model by its version, or by the beginning of it. Raises ``NotFound`` or ``InvalidInput``."""
    rows = ModelVersion.objects.exclude(folder="")
    found = list(rows.filter(version=name) or rows.filter(version__startswith=name).order_by("version")[:5])
    if not found:
        raise NotFound(f"No model {name!r} is registered. manage.py booru_model list shows those that are.")
    if len(found) > 1:
        raise InvalidInput(f"{name!r} fits several: {', '.join(row.version for row in found)}. Write more of it.")
    return found[0]


def plan(candidate: ModelVersion, tasks: Collection[str] = ()) -> tuple[tuple[str, ...], Selection]:
    """The tasks that ``candidate`` would take over (default: all it has) and what would speak then; changes nothing.

    Raises ``CheckpointError`` or ``InvalidInput`` for a candidate that is damaged, was never seen to run, or has no
    such head.
    """
    return _plan(candidate, tasks, registry.look())


def guesses(candidate: ModelVersion, tasks: Collection[str]) -> bool:
    """Whether it would recognise characters by vectors that nobody has calibrated."""
    return EMBEDDING in tasks and not Checkpoint.read(candidate.folder).recognition


def promote(
    *, version: str, tasks: Collection[str] = (), actor: Any = None, note: str = "", reanalyse: bool = True
) -> Promotion:
    """Puts a registered model in force for ``tasks`` (default: all that it has) and orders old posts to be looked at.

    Raises ``StaleState`` where somebody else changed what is in force meanwhile, or another backfill is under way.
    """
    candidate, last = find(version), Promotion.objects.using(database()).in_force()
    taken, selection = _plan(candidate, tasks, Selection.of(last))
    if selection == Selection.of(last):
        raise StaleState(f"{candidate} is in force for {', '.join(taken)} already.")
    return _write(
        selection,
        last,
        reanalyse=reanalyse,
        verb=Verb.PROMOTE,
        candidate=candidate,
        tasks=list(taken),
        actor=actor,
        note=note[:500],
    )


def rollback(*, actor: Any = None, note: str = "", reanalyse: bool = True, withdraw: bool = True) -> Promotion:
    """Takes the standing promotion back; its suggestions follow by the function ``withdraw``, or by the workers.

    Raises ``StaleState`` where nothing is promoted.
    """
    last = Promotion.objects.using(database()).in_force()
    undone = standing(last)
    if last is None or undone is None:
        raise StaleState("There is nothing to roll back: the checkpoints of the settings speak.")
    selection = Selection.of(undone.follows)
    _sound(selection)
    return _write(
        selection,
        last,
        reanalyse=reanalyse,
        verb=Verb.ROLLBACK,
        candidate=undone.candidate,
        tasks=undone.tasks,
        undoes=undone,
        withdrawn_at=None if withdraw else Now(),
        actor=actor,
        note=note[:500],
    )


def standing(row: Promotion | None) -> Promotion | None:
    """The promotion that a rollback would take back."""
    while row is not None and row.verb == Verb.ROLLBACK:
        row = row.undoes.follows if row.undoes else None
    return row


def withdraw(row: Promotion, *, seconds: float = float("inf")) -> bool:
    """Takes back what was said by the model that ``row`` rolled back; whether nothing is left of it.

    In small transactions, so that whoever dies in between, or has no time left, leaves the rest to the next.
    """
    deadline = time.monotonic() + seconds
    rows = Promotion.objects.using(database()).filter(pk=row.pk)
    # It may have come back since: what it says now is not taken from it.
    speaking = registry.look().members
    back = {task for member in speaking if member.version == row.candidate.version for task in member.tasks}
    lost = sorted(set(row.tasks) - back)
    for withdrawer in conf.withdrawers():
        while count := withdrawer(version=row.candidate.version, tasks=lost, actor=row.actor, most=CHUNK):
            rows.update(withdrawn=F("withdrawn") + count)
            if time.monotonic() >= deadline:
                return False
    rows.filter(withdrawn_at=None).update(withdrawn_at=Now())
    return True


def withdraw_quietly() -> None:
    """For a worker between two looks at the queue: goes on where a rollback's withdrawing was cut short."""
    try:
        for row in Promotion.objects.using(database()).half_done().select_related("candidate", "actor"):
            withdraw(row, seconds=SLICE_SECONDS)
    except (OperationalError, InterfaceError):
        raise
    except Exception:
        logger.warning("suggestions of a model that was rolled back cannot be withdrawn", exc_info=True)


def _plan(candidate: ModelVersion, tasks: Collection[str], now: Selection) -> tuple[tuple[str, ...], Selection]:
    if candidate.verified_at is None:
        raise InvalidInput(
            f"{candidate} was never seen to run. Register it: manage.py booru_model add {candidate.folder or 'FOLDER'}"
        )
    checkpoint = Checkpoint.load(candidate.folder)
    if checkpoint.version != candidate.version:
        raise CheckpointError(f"{candidate.folder} holds {checkpoint.version} by now, not {candidate}. Add it again.")
    if strange := sorted(set(tasks) - checkpoint.tasks):
        raise InvalidInput(
            f"{candidate} has no {', '.join(strange)}; it can be promoted for {', '.join(sorted(checkpoint.tasks))}."
        )
    taken = tuple(sorted(set(tasks) or checkpoint.tasks))
    members = [Member(m.version, m.folder, left) for m in now.members if (left := _less(m, candidate, taken))]
    mine = {*taken, *(task for m in now.members if m.version == candidate.version for task in m.tasks)}
    selection = Selection((Member(candidate.version, candidate.folder, tuple(sorted(mine))), *members))
    _sound(selection)
    return taken, selection


def _less(member: Member, candidate: ModelVersion, taken: Collection[str]) -> tuple[str, ...]:
    """What is left to a promoted member once ``candidate`` came."""
    return () if member.version == candidate.version else tuple(task for task in member.tasks if task not in taken)


def _sound(selection: Selection) -> None:
    """Raises ``CheckpointError`` where a folder cannot be read, or nobody would be left to give embeddings."""
    if not any(checkpoint.gives(EMBEDDING) for checkpoint in selection.checkpoints):
        raise CheckpointError("Nothing would give embeddings. Add a checkpoint that does to BOORU_ML['CHECKPOINTS'].")


def _write(selection: Selection, last: Promotion | None, *, reanalyse: bool, **values: Any) -> Promotion:
    """The row, after ``last`` and nothing else, and the order; both or none."""
    members = [{"version": m.version, "folder": m.folder, "tasks": list(m.tasks)} for m in selection.members]
    using = database()
    try:
        with transaction.atomic(using=using):
            row = Promotion.objects.using(using).create(
                members=members, follows=last, pipeline_version=selection.version, **values
            )
            registry.forget()
            if reanalyse:
                orders.begin_anew()
            transaction.on_commit(registry.forget, using=using)
            return row
    except IntegrityError:
        raise StaleState("Somebody else changed what is in force this very moment; look at it again.") from None
    finally:
        registry.forget()
