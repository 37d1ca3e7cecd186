"""A candidate on trial: it looks at a share of the uploads beside the models in force, and nobody hears it.

A process of its own (``manage.py booru_shadow run``, at the machine's lowest priority) takes uploads that are done,
while none waits, and lets both look at the same picture. What they would suggest is stored apart; ``tagging.trial``
compares.
"""

from __future__ import annotations

import dataclasses
import hashlib
import logging
import time
from collections.abc import Iterator
from typing import Any, Protocol

from django.db import DatabaseError, IntegrityError, InterfaceError, transaction
from django.db.models.functions import Now

from booru_ml import promotions
from booru_ml.errors import InvalidInput, StaleState
from booru_ml.host.loader import host
from booru_ml.models import AnalysisJob, Shadow, ShadowLook
from booru_ml.pipeline import leases
from booru_ml.types import Finding, Picture
from tagging import rules
from tagging.rules import Thresholds

logger = logging.getLogger(__name__)

CHUNK = 50
"""Uploads that are considered at a time."""
State, JobState, Priority = Shadow.State, AnalysisJob.State, AnalysisJob.Priority
Said = list[list[Any]]


class Looker(Protocol):
    """One of the two, with its thresholds."""

    version: str

    def look(self, picture: Picture) -> Finding: ...

    @property
    def thresholds(self) -> Thresholds: ...


def begin(*, version: str, share: float = 0.1, actor: Any = None) -> Shadow:
    """Tries a registered model on ``share`` of the uploads from now on. Raises ``StaleState`` beside another trial."""
    candidate = promotions.find(version)
    promotions.plan(candidate)
    if not 0 < share <= 1:
        raise InvalidInput(f"The share of the uploads is above 0 and at most 1, not {share:g}.")
    newest = AnalysisJob.objects.order_by("-pk").values_list("pk", flat=True).first() or 0
    try:
        with transaction.atomic():
            return Shadow.objects.create(candidate=candidate, share=share, actor=actor, cursor=newest)
    except IntegrityError:
        raise StaleState("Another model is on trial. End that first: manage.py booru_shadow end") from None


def end() -> Shadow:
    """Ends the trial; what was compared stays. Raises ``StaleState`` where none is under way."""
    row = running()
    if row is None or not Shadow.objects.filter(pk=row.pk, state=State.RUNNING).update(
        state=State.ENDED, ended_at=Now()
    ):
        raise StaleState("No model is on trial.")
    row.refresh_from_db()
    return row


def running() -> Shadow | None:
    return Shadow.objects.filter(state=State.RUNNING).select_related("candidate").first()


def due(shadow: Shadow) -> Iterator[AnalysisJob]:
    """The finished uploads of the sample since the trial began, in order; moves the trial's cursor past each.

    An upload that is still in work holds the line, so that none that was visible is passed over.
    """
    jobs = AnalysisJob.objects.filter(pk__gt=shadow.cursor, priority__gte=Priority.HELD).order_by("pk")
    for job in jobs[:CHUNK]:
        if job.state in (JobState.QUEUED, JobState.RUNNING):
            return
        if job.state == JobState.DONE and not job.code and sampled(shadow, job.post_id):
            yield job
        shadow.cursor = job.pk
        Shadow.objects.filter(pk=shadow.pk).update(cursor=job.pk)


def sampled(shadow: Shadow, post_id: Any) -> bool:
    """The same for a post whenever it is asked, and independent from trial to trial."""
    digest = hashlib.sha256(f"{shadow.pk}:{post_id}".encode()).digest()
    return int.from_bytes(digest[:8], "big") < shadow.share * 2**64


def compare(shadow: Shadow, job: AnalysisJob, picture: Picture, *, active: Looker, candidate: Looker) -> None:
    """Lets both look at one picture and stores what they would suggest, for the tasks that the candidate has."""
    ours, ours_seconds = _timed(active, picture)
    theirs, theirs_seconds = _timed(candidate, picture)
    shared = {name: scores for name, scores in ours.scores.items() if name in theirs.scores}
    look = ShadowLook(
        shadow=shadow,
        post_id=job.post_id,
        active_version=active.version,
        active_said=_said(dataclasses.replace(ours, scores=shared), active.thresholds),
        candidate_said=_said(theirs, candidate.thresholds),
        active_seconds=ours_seconds,
        candidate_seconds=theirs_seconds,
    )
    ShadowLook.objects.bulk_create([look], ignore_conflicts=True)


def step(shadow: Shadow, *, active: Looker, candidate: Looker, decoders: Any, hold: Any = leases.uploads_wait) -> int:
    """Compares what is due now; returns how many pictures that were. Stops as soon as an upload waits."""
    count = 0
    for job in due(shadow):
        if hold():
            return count
        try:
            with host().open_picture(job.post_id) as stream:
                picture = decoders.submit(stream).result(timeout=60)
        except (DatabaseError, InterfaceError):
            raise
        except Exception as error:  # whatever the board's storage raises
            logger.info("left out of the trial: %s", error, extra={"post_id": str(job.post_id)})
            continue
        try:
            compare(shadow, job, picture, active=active, candidate=candidate)
        except (DatabaseError, InterfaceError):
            raise
        except Exception as error:  # A candidate may fail in ways that nobody foresaw; that is what a trial is for.
            logger.exception("the trial failed on a picture", extra={"post_id": str(job.post_id)})
            Shadow.objects.filter(pk=shadow.pk).update(fault=f"{type(error).__name__}: {error}"[:2000])
            continue
        count += 1
    return count


def _timed(looker: Looker, picture: Picture) -> tuple[Finding, float]:
    begun = time.perf_counter()
    return looker.look(picture), time.perf_counter() - begun


def _said(finding: Finding, thresholds: Thresholds) -> Said:
    """Without the gallery's part: that depends on whom it knows, not on the networks' answers alone."""
    found = rules.proposals(finding, (), thresholds)
    return [[str(item.category), item.name, round(item.score, 4)] for item in found]
