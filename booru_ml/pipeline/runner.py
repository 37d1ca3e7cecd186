"""The worker's star: claim → decode → infer → deliver, each spoke returning here.

The next batch is claimed and decodes in the decoders' own processes while this one is in the network; one that is more
urgent goes first. A row that was attempted before travels alone, so that a picture that kills its worker takes nobody
with it twice.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import TypeVar

from django.db import DatabaseError, InterfaceError, connections, transaction

from booru_ml import conf
from booru_ml.conf import config
from booru_ml.models import AnalysisJob
from booru_ml.pipeline import doorbell, leases
from booru_ml.pipeline.batches import Batch, Decoders
from booru_ml.pipeline.keeper import LeaseKeeper
from booru_ml.pipeline.look import Engine, look
from booru_ml.pipeline.outbox import database
from booru_ml.pipeline.outcomes import CONNECTION_LOST, Failure, WorkerFault, failure, is_ours
from booru_ml.pipeline.overtaken import overtaken
from booru_ml.pipeline.queries import Queries
from booru_ml.types import Analysis, Finding, Picture, Refusal

logger = logging.getLogger(__name__)

Sink = Callable[[Sequence[Analysis]], None]
T = TypeVar("T")


class Runner:
    """Drains the job rows with one engine. Not thread-safe: one drain at a time."""

    def __init__(
        self,
        engine: Engine,
        decoders: Decoders,
        *,
        version: str,
        batch_size: int | None = None,
        sinks: Sequence[Sink] | None = None,
        queries: Queries | None = None,
        peers: Callable[[], int] = lambda: 1,
        lags: Callable[[bool], str] = lambda sure: "",
        stop: threading.Event | None = None,
        stuck: Callable[[], None] = lambda: None,
    ) -> None:
        self.engine = engine
        self.decoders = decoders
        self.version = version
        self.batch_size = batch_size or config().BATCH_SIZE
        self.stop = stop or threading.Event()
        self.pictures = 0
        self.batches = 0
        self._sinks = sinks
        self._queries = queries
        self._peers = peers
        self._lags = lags
        self._stuck = stuck

    def drain(self, max_seconds: float | None = None) -> int:
        """Works until nothing is ready, the time is up or ``stop`` is set; returns how many jobs it finished.

        Raises ``WorkerFault`` when no job can be worked on, and the database's errors when it stays away.
        """
        deadline = None if max_seconds is None else time.monotonic() + max_seconds
        before = self.pictures
        with LeaseKeeper(self._stuck) as keeper:
            ahead = None
            batch = self._next(keeper, deadline)
            if batch and leases.any_ready():
                doorbell.ring()  # Let another worker help.
            try:
                while batch and not self.stop.is_set():
                    ahead = None
                    if not batch.gather(self.stop):
                        break
                    if not (batch.suspect or self._over(deadline)):
                        ahead = self._take(keeper, suspects=False)
                    if ahead and ahead.goes_before(batch):
                        batch, ahead = ahead, batch
                        if not batch.gather(self.stop):
                            break
                    self._work(batch)
                    keeper.drop(batch.token)
                    batch = ahead
                    if batch is None and not self._over(deadline):
                        batch = self._next(keeper, deadline)
                    elif batch and batch.priority < AnalysisJob.Priority.HELD and self._queries:
                        self._queries.step()
            except (WorkerFault, *CONNECTION_LOST):
                raise
            except Exception as error:
                if batch:
                    self._count(batch, error)
                raise
            finally:
                for left in {id(item): item for item in (batch, ahead) if item}.values():
                    self._return(left)
                if self._queries:
                    self._queries.give_back()
        return self.pictures - before

    def _over(self, deadline: float | None) -> bool:
        return self.stop.is_set() or (deadline is not None and time.monotonic() >= deadline)

    def _next(self, keeper: LeaseKeeper, deadline: float | None) -> Batch | None:
        """The next batch; while none waits, queries by picture are answered."""
        batch = self._take(keeper)
        while batch is None and self._queries and not self._over(deadline) and self._queries.step():
            batch = self._take(keeper)
        return batch or self._settle(keeper, deadline)

    def _take(self, keeper: LeaseKeeper, *, suspects: bool = True) -> Batch | None:
        jobs = leases.claim(
            limit=self.batch_size, version=self.version, peers=self._peers(), suspects=suspects, lags=self._lags
        )
        if not jobs:
            return None
        batch = Batch(jobs)
        keeper.keep(batch.token)
        try:
            batch.start(self.decoders)
        except BaseException:
            self._return(batch)
            raise
        return batch

    def _settle(self, keeper: LeaseKeeper, deadline: float | None) -> Batch | None:
        """Waits for a row that is due in a moment, as those of boards that save without a transaction are."""
        batch = None
        while batch is None and not self._over(deadline):
            within = config().SETTLE_SECONDS
            if deadline is not None:
                within = min(within, deadline - time.monotonic())
            seconds = leases.soonest(within=within, version=self.version, lags=self._lags(False))
            if seconds is None or self.stop.wait(seconds + 0.005):
                break
            batch = self._take(keeper)
        return batch

    def _work(self, batch: Batch) -> None:
        """The batch's pictures through the network, then every outcome to where it belongs."""
        begun = time.perf_counter()
        pictures = batch.pictures
        looked = dict(zip(pictures, look(self.engine, list(pictures.values())), strict=True))
        seconds = (time.perf_counter() - begun) / max(1, len(pictures))
        analyses: list[Analysis] = []
        failures: dict[int, Failure] = {}
        for pk, outcome in batch.outcomes.items():
            said = looked[pk] if isinstance(outcome, Picture) else outcome
            if isinstance(said, Failure):
                failures[pk] = said
            else:
                timings = {"decode": batch.decode_seconds.get(pk, 0.0), "infer": seconds, "batch": len(batch.jobs)}
                analyses.append(self._analysis(batch, pk, said, timings))
        finished = self._deliver(batch, analyses, failures)
        for pk, reason in failures.items():
            self._fail(batch.jobs[pk], reason)
        self.pictures += finished
        self.batches += 1
        logger.info(
            "batch analysed",
            extra={
                "batch": len(batch.jobs),
                "finished": finished,
                "failed": len(failures),
                "seconds": round(time.perf_counter() - begun, 4),
                "job_ids": list(batch.jobs),
                "post_ids": [str(job.post_id) for job in batch.jobs.values()],
            },
        )

    def _analysis(self, batch: Batch, pk: int, said: Finding | Refusal, timings: dict[str, float]) -> Analysis:
        job, picture, known = batch.jobs[pk], batch.pictures.get(pk), batch.known.get(pk, {})
        return Analysis(
            job_id=pk,
            post_id=job.post_id,
            pipeline_version=self.version,
            sha256=picture.sha256 if picture else known.get("sha256") or "",
            width=picture.width if picture else known.get("width") or 0,
            height=picture.height if picture else known.get("height") or 0,
            frame_count=picture.frame_count if picture else 0,
            finding=said if isinstance(said, Finding) else None,
            refusal=said if isinstance(said, Refusal) else None,
            timings=timings,
        )

    def _deliver(self, batch: Batch, analyses: list[Analysis], failures: dict[int, Failure]) -> int:
        """Stores the analyses whose lease is still ours; returns how many. Adds to ``failures`` what a sink refused.

        The whole batch in one transaction; if a sink raises, one by one, so that one bad analysis fails alone.
        """
        if not analyses:
            return 0
        try:
            return self._insist(lambda: self._store(batch, analyses))
        except Exception as error:
            if is_ours(error):
                raise WorkerFault(f"Results cannot be stored: {error!r}") from error
            logger.warning("storing a batch failed, going on one by one: %r", error, exc_info=True)
        stored = 0
        for analysis in analyses:
            try:
                stored += self._insist(partial(self._store, batch, [analysis]))
            except Exception as error:
                if is_ours(error):
                    raise WorkerFault(f"Results cannot be stored: {error!r}") from error
                logger.exception("a sink refused an analysis", extra={"job_id": analysis.job_id})
                failures[analysis.job_id] = failure(error, code="sink_failed")
        return stored

    def _store(self, batch: Batch, analyses: Sequence[Analysis]) -> int:
        with transaction.atomic(using=database()):
            ours = leases.hold([batch.jobs[analysis.job_id] for analysis in analyses])
            late = overtaken([batch.jobs[pk] for pk in ours])
            held = [analysis for analysis in analyses if analysis.job_id in ours - late]
            if late:
                leases.supersede(late)
            if held:
                for sink in conf.sinks() if self._sinks is None else self._sinks:
                    sink(held)
                leases.finish(held)
        return len(ours)

    def _insist(self, write: Callable[[], T]) -> T:
        """Repeats ``write`` while the database is away, for as long as the lease can be worth it."""
        patience = time.monotonic() + config().LEASE_SECONDS
        pause = 0.1
        while True:
            try:
                return write()
            except CONNECTION_LOST as error:
                if transaction.get_connection(database()).in_atomic_block or time.monotonic() > patience:
                    raise
                logger.warning("the database does not answer, trying again in %.1f s: %s", pause, error)
                connections[database()].close()
            if self.stop.wait(pause):
                patience = min(patience, time.monotonic() + 2)
                time.sleep(min(pause, 0.5))  # from here on the event no longer waits
            pause = min(5.0, pause * 2)

    def _count(self, batch: Batch, error: Exception) -> None:
        """An error nobody foresaw may be the pictures' doing: the attempt counts, and the rows travel alone next."""
        reason = failure(error, code="worker_failed")
        for job in batch.jobs.values():
            self._fail(job, reason)

    def _fail(self, job: AnalysisJob, reason: Failure) -> None:
        said = {"job_id": job.pk, "post_id": str(job.post_id), "code": reason.code, "attempts": job.attempts}
        logger.warning("attempt failed: %s", reason.message, extra=said)
        self._insist(lambda: leases.fail(job, code=reason.code, message=reason.message))

    def _return(self, batch: Batch) -> None:
        """Gives unfinished rows back as if they had not been taken, as soon as the database is there again; where even
        that fails, their lease runs out."""
        batch.abandon()
        try:
            self._insist(lambda: leases.give_back(list(batch.jobs.values())))
        except (DatabaseError, InterfaceError) as error:
            connections[database()].close()
            logger.warning("rows not given back, their lease will run out: %s", error)
