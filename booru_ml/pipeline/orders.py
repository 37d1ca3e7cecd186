"""The one standing order to analyse old posts: begun, paused, gone on with, ended."""

from __future__ import annotations

from typing import Any

from django.db import IntegrityError, transaction
from django.db.models.functions import Now

from booru_ml import registry
from booru_ml.errors import InvalidInput, StaleState
from booru_ml.host.loader import host
from booru_ml.models import AnalysisJob, Backfill
from booru_ml.models.backfills import BackfillQuerySet
from booru_ml.pipeline import outbox
from booru_ml.pipeline.backfill import Order

State, EVERY_POST = Backfill.State, Backfill.EVERY_POST


def rows() -> BackfillQuerySet:
    return Backfill.objects.using(outbox.database())


def active() -> Backfill | None:
    return rows().active().first()


def latest() -> Backfill | None:
    """The active one, else the one that ended last."""
    return active() or rows().first()


def begin(order: Order) -> Backfill:
    """The active backfill if it is this order, gone on with; else a new one. Raises ``StaleState`` beside another."""
    if there := active():
        asked = (there.since, tuple(there.tags), there.limit, there.model, there.refused)
        if asked != (order.since, order.tags, order.limit, order.model, order.refused):
            raise StaleState(
                f"Another backfill is {there.state}: {there.wish}. Go on with it by --resume, or end it by --cancel."
            )
        return _turn(State.RUNNING, per_minute=order.per_minute)
    version = registry.pipeline_version()
    check(order, version=version)
    try:
        with transaction.atomic(using=outbox.database()):
            return rows().create(
                since=order.since,
                tags=list(order.tags),
                limit=order.limit,
                model=order.model,
                refused=order.refused,
                per_minute=order.per_minute,
                pipeline_version=version,
                total=host().count(since=order.since, tags=order.tags),
            )
    except IntegrityError:
        raise StaleState("Another backfill was begun this very moment; look at --status.") from None


def begin_anew() -> None:
    """Other models speak: every post that they have not looked at last needs a look.

    Raises ``StaleState`` beside an order for some posts only; one for all starts over by itself (``feeder``).
    """
    there = active()
    if there is None:
        begin(Order())
    elif there.wish != EVERY_POST:
        raise StaleState(
            f"A backfill of some posts is {there.state}: {there.wish}. End it (manage.py booru_backfill --cancel), "
            "or say --no-reanalyse and look at old posts again later."
        )


def check(order: Order, *, version: str) -> None:
    """Raises ``InvalidInput`` for a model that nothing could be found by."""
    if not order.model:
        return
    jobs = AnalysisJob.objects.using(outbox.database())
    if not jobs.filter(pipeline_version__startswith=order.model).exists():
        known = sorted(jobs.order_by().values_list("pipeline_version", flat=True).distinct())
        raise InvalidInput(f"No post was analysed by {order.model!r}. Known versions: {', '.join(known) or 'none'}.")
    if version == order.model:
        raise InvalidInput(f"{version} is the present version: what it has analysed is up to date.")


def pause() -> Backfill:
    """Queues no more; what waits already is worked off. Raises ``StaleState`` where there is nothing to pause."""
    return _turn(State.PAUSED)


def resume() -> Backfill:
    return _turn(State.RUNNING)


def cancel() -> Backfill:
    """Ends it; what waits already is worked off."""
    return _turn(State.CANCELLED, finished_at=Now())


def waiting() -> int:
    """Old posts that wait or are in work."""
    jobs = AnalysisJob.objects.using(outbox.database()).unfinished()
    return int(jobs.filter(priority=AnalysisJob.Priority.BACKFILL).count())


def _turn(state: str, **values: Any) -> Backfill:
    order = active()
    if order is None or not rows().active().filter(pk=order.pk).update(state=state, **values):
        raise StaleState("There is no backfill under way. Begin one with `manage.py booru_backfill`.")
    order.refresh_from_db()
    return order
