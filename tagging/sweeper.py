"""Carries sweeps out, step by step, whenever a worker has no pictures to analyse.

Any worker may take a step, one at a time: whoever holds the order's row. Suggestions, the step's delta and the moved
cursor are written in one transaction that comes true only while the cursor stands where it was read. Whoever dies in
between has changed nothing. Taking a sweep back goes through the same steps in reverse.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from typing import Any

from django.apps import apps
from django.db import DatabaseError, InterfaceError, transaction
from django.db.models import F
from django.db.models.functions import Now

from booru_ml.conf import config, post_model
from booru_ml.host.loader import host
from booru_ml.types import Category
from booru_ml.vocabulary import tag_or_none
from embeddings import services as embeddings
from embeddings.models import Subject
from tagging import rules
from tagging.models import Suggestion, Sweep, SweepStep
from tagging.rules import Proposal

logger = logging.getLogger(__name__)

CHUNK = 200
"""Posts of one step."""
SLICE_SECONDS = 0.3
"""How long a worker goes on before it looks whether there are pictures to analyse."""
KEPT = ("score", "source", "model_version", "gallery_revision", "evidence", "state")
"""Columns of a suggestion that a step may change, and its undo restores."""

State, Open = Sweep.State, Suggestion.State


def advance(*, seconds: float = SLICE_SECONDS, sweep_id: int | None = None) -> int:
    """Goes on with the sweeps under way, the eldest first, for ``seconds``; returns how many steps were taken.

    What is wrong with a sweep stops that one, until it is resumed, and keeps nobody from the others or the pictures.
    """
    deadline, steps = time.monotonic() + seconds, 0
    waiting = Sweep.objects.moving().filter(fault="").order_by("id")
    if sweep_id is not None:
        waiting = waiting.filter(pk=sweep_id)
    while waiting.exists():  # without a transaction, for idle workers ask often
        with transaction.atomic():
            order = waiting.select_for_update(skip_locked=True).first()
            if order is None:
                break
            try:
                with transaction.atomic():
                    (_back if order.state == State.UNDOING else _forth)(order)
                steps += 1
            except (DatabaseError, InterfaceError):
                raise
            except Exception as error:
                logger.warning("the search for %s stops: %s", order.name, error, exc_info=True)
                _stop(order, getattr(error, "message", "") or f"{type(error).__name__}: {error}"[:1000])
        if time.monotonic() >= deadline:
            break
    return steps


def _stop(order: Sweep, fault: str) -> None:
    """A search pauses; an undo stays one, for it must not be gone on with as a search."""
    stopped = State.PAUSED if order.state == State.RUNNING else order.state
    Sweep.objects.filter(pk=order.pk, state=order.state).update(state=stopped, fault=fault)


def _forth(order: Sweep) -> None:
    subject = Subject.objects.filter(pk=order.subject_id, enabled=True).first()
    tag = tag_or_none(subject.name, Category(subject.category)) if subject else None
    if subject is None or tag is None:
        _stop(order, f"{order.name} was disabled or withdrawn meanwhile, or its name is no tag.")
        return
    key: Any = apps.get_model(post_model())._meta.pk
    after = key.to_python(order.cursor) if order.cursor else None
    posts = [post.pk for post in host().walk(after=after, limit=CHUNK)]
    wanted = _wanted(posts, subject.pk)
    values: dict[str, Any] = {"cursor": str(posts[-1])} if posts else {"state": State.FINISHED, "finished_at": Now()}
    unmoved = Sweep.objects.filter(pk=order.pk, state=State.RUNNING, cursor=order.cursor)
    # For databases without row locks: whoever was overtaken writes nothing.
    if not unmoved.update(passed=F("passed") + len(posts), compared=F("compared") + len(wanted), **values):
        return
    delta, made, withdrawn = _write(wanted, tag.name, str(tag.category), order.threshold)
    if delta:
        SweepStep.objects.create(sweep=order, delta=delta)
        Sweep.objects.filter(pk=order.pk).update(suggested=F("suggested") + made, withdrawn=F("withdrawn") + withdrawn)


def _wanted(posts: Sequence[Any], subject_id: int) -> dict[Any, Proposal | None]:
    """What the gallery says of the subject on each of these posts; posts that it cannot be asked about are left out."""
    version, rivals = embeddings.active_version(), config().SUGGESTIONS_PER_SUBJECT
    said = embeddings.rematch(posts, model_version=version)
    found: dict[Any, Proposal | None] = {}
    for post_id, matches in said.items():
        named = rules.proposals(None, matches, rules.Thresholds(), model_version=version, per_subject=rivals)
        found[post_id] = next((item for item in named if item.evidence.get("subject") == subject_id), None)
    return found


def _write(
    wanted: Mapping[Any, Proposal | None], name: str, category: str, threshold: float
) -> tuple[dict[str, Any], int, int]:
    """Makes the subject's open suggestions what ``wanted`` says; returns the delta, new and withdrawn ones.

    Decided suggestions stay, as do those of a network that is surer.
    """
    rows = Suggestion.objects.filter(post_id__in=list(wanted), name=name, category=category)
    free = {row.post_id: row for row in rows.undecided().select_for_update(skip_locked=True)}
    taken = set(rows.values_list("post_id", flat=True))
    new: list[Suggestion] = []
    changed: list[dict[str, Any]] = []
    withdrawn = 0
    for post_id, item in wanted.items():
        row = free.get(post_id)
        if item is not None and item.score >= threshold:
            if row is None and post_id not in taken:
                new.append(Suggestion(post_id=post_id, name=name, category=category, **_columns(item)))
            elif row is not None and not (row.state == Open.SUGGESTED and _surer(row, item)):
                changed.append(_kept(row))
                Suggestion.objects.filter(pk=row.pk).update(**_columns(item), scored_at=Now())
        elif item is None and row is not None and row.state == Open.SUGGESTED and row.source == rules.PROTOTYPE:
            changed.append(_kept(row))
            Suggestion.objects.filter(pk=row.pk).update(state=Open.WITHDRAWN)
            withdrawn += 1
    Suggestion.objects.bulk_create(new, ignore_conflicts=True)
    fresh = Suggestion.objects.filter(post_id__in=[row.post_id for row in new], name=name, category=category)
    created = list(fresh.exclude(pk__in=[row.pk for row in free.values()]).values_list("pk", flat=True)) if new else []
    delta = {"created": created} if created else {}
    return delta | ({"changed": changed} if changed else {}), len(created), withdrawn


def _surer(row: Suggestion, item: Proposal) -> bool:
    """The row says as much already, or a network says it better."""
    if row.source != rules.PROTOTYPE:
        return row.score >= item.score
    return row.gallery_revision == item.gallery_revision and abs(row.score - item.score) < 1e-6


def _columns(item: Proposal) -> dict[str, Any]:
    return {
        "score": item.score,
        "source": item.source,
        "model_version": item.model_version[:64],
        "gallery_revision": item.gallery_revision,
        "evidence": dict(item.evidence),
        "state": Open.SUGGESTED,
    }


def _kept(row: Suggestion) -> dict[str, Any]:
    return {"id": row.pk} | {name: getattr(row, name) for name in KEPT}


def _back(order: Sweep) -> None:
    """Takes the latest step back, and is done where there is none."""
    if not Sweep.objects.filter(pk=order.pk, state=State.UNDOING).update(fault=""):
        return
    step = order.steps.first()
    if step is None:
        Sweep.objects.filter(pk=order.pk).update(state=State.UNDONE, finished_at=Now())
        return
    made = Suggestion.objects.filter(pk__in=step.delta.get("created", ()), state__in=[Open.SUGGESTED, Open.WITHDRAWN])
    count = made.untouched().delete()[1].get(Suggestion._meta.label, 0)
    # What was decided, and that taken back, keeps its history.
    count += made.filter(state=Open.SUGGESTED).update(state=Open.WITHDRAWN)
    for before in step.delta.get("changed", ()):
        row = Suggestion.objects.undecided().filter(pk=before.pop("id"))
        count += row.update(**before, scored_at=Now())
    step.delete()
    Sweep.objects.filter(pk=order.pk).update(taken_back=F("taken_back") + count)
