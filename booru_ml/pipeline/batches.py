"""One claimed batch on its way through the decoders."""

from __future__ import annotations

import threading
import time
import uuid
from asyncio import CancelledError
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, wait
from typing import Any, BinaryIO, Protocol

from booru_ml.conf import config
from booru_ml.errors import NotFound, PictureRefused, Unavailable
from booru_ml.host.loader import host
from booru_ml.models import AnalysisJob
from booru_ml.pipeline.outcomes import CONNECTION_LOST, DecodersBroken, Failure, WorkerFault, failure, is_ours
from booru_ml.types import Picture, Refusal

UNSURE = ("crashed", "timeout")
"""Refusals that want of memory, somebody's signal or a machine that stood still may have caused, not the picture."""
GRACE_SECONDS = 3.0
"""How long a stopping worker still waits for pictures that are being decoded."""


class Decoders(Protocol):
    """Guarded decoding: futures give a ``Picture``, or raise ``PictureRefused``, ``Unavailable`` or storage errors."""

    def submit(self, stream: BinaryIO, /) -> Future[Picture]: ...


class Batch:
    """Jobs under one lease, and what decoding made of each: a picture, a refusal, or a failed attempt."""

    def __init__(self, jobs: Sequence[AnalysisJob]) -> None:
        self.jobs = {job.pk: job for job in jobs}
        self.priority = max(job.priority for job in jobs)
        self.claimed_at = time.monotonic()
        self.outcomes: dict[int, Picture | Refusal | Failure] = {}
        self.decode_seconds: dict[int, float] = {}
        self.known: dict[int, Mapping[str, Any]] = {}
        """What is known of refused pictures: sha256, width, height as far as the decoders got."""
        self._pending: dict[int, Future[Picture]] = {}

    @property
    def token(self) -> uuid.UUID:
        token = next(iter(self.jobs.values())).lease_token
        assert token is not None  # noqa: S101 - claimed rows have one
        return token

    @property
    def suspect(self) -> bool:
        """True for a row that was attempted before; it travels alone."""
        return any(job.attempts > 1 for job in self.jobs.values())

    def goes_before(self, other: Batch) -> bool:
        """Whether this batch, claimed later, is the more urgent one; nobody is passed by for longer than a lease."""
        waited = time.monotonic() - other.claimed_at
        return self.priority > other.priority and waited < config().LEASE_SECONDS

    @property
    def pictures(self) -> dict[int, Picture]:
        return {pk: outcome for pk, outcome in self.outcomes.items() if isinstance(outcome, Picture)}

    def start(self, decoders: Decoders) -> None:
        """Opens every picture and hands it to the decoders. What the board's storage raises is the row's own failed
        attempt, so that no single file stops the queue. Raises ``WorkerFault`` and the database's errors."""
        for pk, job in self.jobs.items():
            begun = time.perf_counter()
            try:
                stream = host().open_picture(job.post_id)
            except (NotFound, FileNotFoundError) as error:
                self.outcomes[pk] = Failure("picture_missing", f"The board has no file for this post: {error}")
                continue
            except CONNECTION_LOST:
                raise
            except (Exception, CancelledError) as error:
                if is_ours(error) and not isinstance(error, OSError | MemoryError):
                    raise WorkerFault(f"Pictures cannot be opened: {error!r}") from error
                self.outcomes[pk] = failure(error, code="storage")
                continue
            try:
                future = decoders.submit(stream)
            except Exception as error:
                stream.close()
                raise WorkerFault(f"The decoders do not take pictures: {error!r}") from error
            future.add_done_callback(self._closer(pk, stream, begun))
            self._pending[pk] = future

    def gather(self, stop: threading.Event) -> bool:
        """Waits for the decoders; False if the worker was told to stop and they are not done in a moment."""
        # Far beyond what the decoders' own limits allow: only a hung pool gets here.
        patience = time.monotonic() + 60 + 4 * config().DECODE_CPU_SECONDS * len(self._pending)
        stopping: float | None = None
        for pk, future in self._pending.items():
            while pk not in self.outcomes:
                now = time.monotonic()
                stopping = stopping or (now if stop.is_set() else None)
                if stopping is not None and now - stopping > GRACE_SECONDS:
                    return False
                if now > patience:
                    raise DecodersBroken("The decoders do not answer any more.")
                # Not ``result(timeout=…)``, whose error a storage may raise as well.
                if not wait([future], timeout=0.25).done:
                    continue
                error = future.exception()
                if error is None:
                    self.outcomes[pk] = future.result()
                elif isinstance(error, PictureRefused):
                    self.outcomes[pk] = self._refusal(pk, error)
                    self.known[pk] = error.extra
                elif isinstance(error, Unavailable):
                    raise WorkerFault(f"No picture can be decoded: {error.message}") from error
                else:  # whatever the board's storage raises while the file is read
                    self.outcomes[pk] = failure(error, code="storage")
        self._pending.clear()
        return True

    def _refusal(self, pk: int, refused: PictureRefused) -> Refusal | Failure:
        """Only a picture whose decoder died or took too long at every attempt is refused for it."""
        if refused.code in UNSURE and self.jobs[pk].attempts < config().MAX_ATTEMPTS:
            return Failure(refused.code, refused.message)
        return Refusal(refused.code, refused.message)

    def abandon(self) -> None:
        """Forgets pictures that nobody will look at."""
        for future in self._pending.values():
            future.cancel()
        self._pending.clear()

    def _closer(self, pk: int, stream: BinaryIO, begun: float) -> Callable[[object], None]:
        def close(_: object) -> None:
            self.decode_seconds[pk] = time.perf_counter() - begun
            stream.close()

        return close
