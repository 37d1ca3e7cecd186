"""One worker process: engine, decoders and runner, built on first use in the process that uses them, and kept.

The Celery task, the timer of each Celery child and ``manage.py booru_worker`` all drain through here.
"""

from __future__ import annotations

import contextlib
import gc
import logging
import os
import random
import socket
import threading
import time
from collections.abc import Callable
from typing import Any

from django.db import DatabaseError, InterfaceError, close_old_connections, connections

from booru_ml import conf, promotions
from booru_ml.conf import config
from booru_ml.models import AnalysisJob
from booru_ml.pipeline import feeder, leases, memory, pulse
from booru_ml.pipeline.models import Models
from booru_ml.pipeline.outbox import database
from booru_ml.pipeline.parts import build_decoders, build_engine, build_query_decoders
from booru_ml.pipeline.presence import Presence
from booru_ml.pipeline.queries import Queries
from booru_ml.pipeline.runner import Runner

logger = logging.getLogger(__name__)

STOP_SECONDS = 9.0
"""How long a stopping worker may take to finish or return its batch."""
SLICE_SECONDS = 5.0
"""A drain ends after this long and goes on with the next, so that heartbeats and stops never wait for a long queue."""
LONGEST_PAUSE = 10.0
"""Most seconds between two tries of a worker that cannot work."""
DATABASE_PAUSE = 2.0
"""The same while only the database is away: to try again costs next to nothing."""


class Worker:
    """Drains job rows and never raises: what keeps it from working is logged, noted in its row and tried again.

    Where that spent the process (``memory``), it stops after the pause instead, and ends it if it is its own.
    """

    def __init__(
        self,
        *,
        engine: Callable[[], Any] | None = None,
        decoders: Callable[[], Any] | None = None,
        report: Callable[[int], None] | None = None,
        owns_process: bool = False,
    ) -> None:
        self.name = f"{socket.gethostname()}:{os.getpid()}"
        self.stop = threading.Event()
        self.fault = ""
        self.spent = False
        """Whether this process had better end (``memory``)."""
        self.models = Models((lambda _: engine()) if engine else build_engine)
        self._build_decoders = decoders or build_decoders
        self._parts = contextlib.ExitStack()
        self._runner: Runner | None = None
        self._busy = threading.Lock()
        self._presence = Presence(self.name)
        self._report = report or (lambda pictures: None)
        self._owns_process = owns_process
        self._faults = 0
        self._not_before = 0.0
        self._worked = 0.0
        self._earlier = (0, 0)

    @property
    def pictures(self) -> int:
        """Jobs finished so far."""
        return self._earlier[0] + (self._runner.pictures if self._runner else 0)

    @property
    def batches(self) -> int:
        return self._earlier[1] + (self._runner.batches if self._runner else 0)

    def drain(self, max_seconds: float | None = None) -> int:
        """Works until nothing is ready; returns how many jobs were finished. 0 at once while another thread does it."""
        if self.stop.is_set() or time.monotonic() < self._not_before:
            return 0
        if self.spent:
            self._end()
            return 0
        if not self._busy.acquire(blocking=False):
            return 0
        try:
            close_old_connections()
            self._bury()
            self._follow()
            finished = self._work(max_seconds) if self.ready() else self._rest()
            self._recover()
            return finished
        except Exception as error:
            if memory.spends(error):
                self._spend()
            with contextlib.suppress(MemoryError):
                self._suffer(error)
            return 0
        finally:
            self._busy.release()

    def run(self, *, once: bool = False, idle_exit: bool = False, poll_seconds: float = 0.5) -> None:
        """Drains and looks again until stopped; ``once``: a single drain; ``idle_exit``: until all is finished."""
        beat = 0.0
        while not self.stop.is_set():
            if time.monotonic() >= beat:
                self.heartbeat()
                beat = time.monotonic() + config().RECONCILE_SECONDS
            if self.drain(SLICE_SECONDS):
                self._report(self.pictures)
                continue
            if once or (idle_exit and not self.fault and self._idle()):
                break
            self.stop.wait(poll_seconds * random.uniform(0.8, 1.2))  # noqa: S311 - keeps workers out of step
        self.close()

    def reconcile(self) -> None:
        """The timer of a Celery process: finds rows whose doorbell was lost, even with the broker away or deaf."""
        pause = 0.0
        while not self.stop.wait(pause):
            self.heartbeat()
            while self.drain(SLICE_SECONDS):
                self.heartbeat()
            connections.close_all()
            pause = self._until_next_look()

    def _until_next_look(self) -> float:
        pause = self._not_before - time.monotonic()
        return pause if self.fault and pause > 0 else config().RECONCILE_SECONDS * random.uniform(0.7, 1.0)  # noqa: S311

    def heartbeat(self) -> None:
        """Writes this process's row, forgets processes that have not been seen for an hour, feeds the backfill."""
        runner = self._runner
        try:
            present = self._presence.beat(
                pipeline_version=runner.version if runner else "",
                pictures=self.pictures,
                batches=self.batches,
                fault=self.fault,
                behind=self.models.behind,
            )
            if not present:
                return
            feeder.feed_quietly()
            for chore in conf.chores():  # a board that is never at rest gets on with them, too
                chore()
            promotions.withdraw_quietly()
        except (DatabaseError, InterfaceError) as error:
            connections.close_all()
            logger.warning("heartbeat not written: %s", error)
        except MemoryError as error:
            self._spend()
            self.fault = f"MemoryError: {error}"

    def close(self) -> None:
        """Stops after the batch in work (or returns it), lets engine and decoders go, takes the row away."""
        self.stop.set()
        if not self._busy.acquire(timeout=STOP_SECONDS):
            logger.warning("the batch in work did not end in time; its lease will run out")
            return
        try:
            self._dismantle()
            if not self.spent:  # else it may not have had the memory to give all of its rows back
                pulse.end()
            self._presence.leave()
        except (DatabaseError, InterfaceError) as error:
            logger.warning("the worker's row stays for an hour: %s", error)
        finally:
            self._busy.release()

    def ready(self) -> bool:
        """Whether anything is ready or about to be: an idle worker never loads the networks for nothing."""
        within = config().SETTLE_SECONDS
        return leases.any_ready() or conf.queries().waiting() or leases.soonest(within=within) is not None

    def _idle(self) -> bool:
        try:
            return not AnalysisJob.objects.using(database()).unfinished().exists()
        except (DatabaseError, InterfaceError):
            return False

    def _ready_runner(self) -> Runner:
        if self._runner is None:
            begun = time.perf_counter()
            with contextlib.ExitStack() as parts:
                parts.callback(self.models.close)
                self.models.start()
                decoders = parts.enter_context(self._build_decoders())
                queries = Queries(self.models, parts.enter_context(build_query_decoders()))
                self._runner = Runner(
                    self.models,
                    decoders,
                    version=self.models.version,
                    queries=queries,
                    peers=lambda: self._presence.peers,
                    lags=self.models.lags,
                    stop=self.stop,
                    stuck=memory.end_soon if self._owns_process else lambda: None,
                )
                self._parts = parts.pop_all()
            gc.freeze()  # What stays for good need not be walked through by every collection.
            logger.info(
                "worker ready",
                extra={"pipeline_version": self.models.version, "seconds": round(time.perf_counter() - begun, 2)},
            )
            self.heartbeat()
        return self._runner

    def _follow(self) -> None:
        """Between batches: goes on with what was promoted meanwhile, as soon as it is loaded."""
        if self._runner is None:
            return
        behind = self.models.behind
        if exchanged := self.models.follow():
            self._runner.version = self.models.version
            gc.freeze()
            logger.info("other models are in force", extra={"pipeline_version": self.models.version})
        if exchanged or self.models.behind != behind:
            self.heartbeat()

    def _bury(self) -> None:
        """Frees what workers of this machine had in hand when they died."""
        pulse.begin()
        for process in pulse.dead():
            if rows := leases.free(process):
                logger.warning("a worker of this machine died, its rows are free", extra={"rows": rows})

    def _work(self, max_seconds: float | None) -> int:
        try:
            return self._ready_runner().drain(max_seconds)
        finally:
            self._worked = time.monotonic()

    def _rest(self) -> int:
        """Time for chores; after a while without work the networks' memory, a GPU's above all, is for others."""
        if done := int(sum(chore() for chore in conf.chores())):
            return done
        longest = config().IDLE_SECONDS
        if self._runner and longest and time.monotonic() - self._worked >= longest:
            logger.info("no work for %.0f s: networks and decoders are let go until there is some", longest)
            self._dismantle()
        return 0

    def _recover(self) -> None:
        self._faults = 0
        if self.fault:
            self.fault = ""
            logger.info("the worker works again")
            self.heartbeat()

    def _suffer(self, error: Exception) -> None:
        """Notes the fault; engine and decoders are built anew, after a pause that grows."""
        self._faults += 1
        database_only = isinstance(error, DatabaseError | InterfaceError)
        pause = min(DATABASE_PAUSE if database_only else LONGEST_PAUSE, 0.5 * 2**self._faults)
        if self.spent:
            pause = LONGEST_PAUSE
        self._not_before = time.monotonic() + pause
        self.fault = f"{type(error).__name__}: {error}"[:2000]
        then = "stops for another one to take its place" if self.spent else "tries again"
        logger.error("the worker cannot work, and %s in %.0f s: %s", then, pause, self.fault, exc_info=error)
        connections.close_all()
        if not database_only:
            self._dismantle()
        self.heartbeat()

    def _spend(self) -> None:
        """Memory ran out; by the time that the kernel acts, this process has left in good order, if it still can."""
        self.spent = True
        if self._owns_process:
            memory.end_soon()

    def _end(self) -> None:
        self.stop.set()
        if self._owns_process:
            try:
                self.close()
            finally:
                os._exit(memory.EXIT_STATUS)

    def _dismantle(self) -> None:
        self._earlier = self.pictures, self.batches
        self._runner = None
        gc.unfreeze()
        try:
            self._parts.close()
        except Exception as error:
            logger.warning("while letting engine and decoders go: %r", error)
