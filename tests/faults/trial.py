"""One fault among uploads in flight: injected, timed, settled."""

from __future__ import annotations

import time
from collections.abc import Callable
from types import TracebackType
from typing import Self

from django.db import DatabaseError, InterfaceError, connection

from booru_ml.models import AnalysisJob
from tests.faults.accounts import Account, settle
from tests.faults.pictures import plain
from tests.faults.report import Record, keep
from tests.faults.uploads import Uploads
from tests.flows.conftest import wait_for

UPLOAD_SECONDS = 0.5
"""No upload may take longer."""
HICCUPS = 1
"""But one of a trial may be the machine's own hiccup: what we do wrong makes one after the other slow."""
RATE = 10.0


class Trial:
    """A context manager: uploads are in flight when its block begins, go on through it and for a second after.

    At its end every upload made before the block (or before ``outage_over``) must be finished within ``within``
    seconds, none lost, none doubled, none slow or failed. The block injects the fault.
    """

    def __init__(
        self,
        uploads: Uploads,
        fault: str,
        injected: str,
        *,
        within: float,
        in_flight: int = 24,
        make: Callable[[], bytes] = plain,
        warm: bool = True,
        failures_allowed: bool = False,
    ) -> None:
        self.uploads, self.within = uploads, within
        self.fault, self.injected = fault, injected
        self.in_flight, self.make, self.warm = in_flight, make, warm
        self.failures_allowed = failures_allowed
        self.account: Account | None = None
        self.recovery = 0.0

    def __enter__(self) -> Self:
        if self.warm:
            self.uploads.one(self.make())
            wait_for(finished(self.uploads.posts), 60)
        del self.uploads.seconds[:]
        self.uploads.many(self.in_flight, self.make)
        self._steady = self.uploads.steadily(RATE)
        self._steady.__enter__()
        if self.warm:
            wait_for(lambda: AnalysisJob.objects.filter(state="running").exists(), 20)
        self.since, self.affected = time.monotonic(), list(self.uploads.posts)
        return self

    def outage_over(self) -> None:
        """What was away is back: recovery counts from here, and uploads made meanwhile count too."""
        self.since, self.affected = time.monotonic(), list(self.uploads.posts)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if error is None:
                self._recover()
                time.sleep(max(0.0, self.since + 1 - time.monotonic()))
        finally:
            self._steady.__exit__(None, None, None)
        if error is None:
            wait_for(finished(self.uploads.posts), 2 * self.within + 30)
            self._judge()

    def _recover(self) -> None:
        wait_for(finished(self.affected), self.within + 30)
        self.recovery = time.monotonic() - self.since

    def _judge(self) -> None:
        self.account = account = settle(self.uploads.posts)
        slowest = max(self.uploads.seconds)
        keep(
            Record(
                fault=self.fault,
                injected=self.injected,
                database=connection.vendor,
                uploads=account.uploaded,
                in_flight=len(self.affected),
                lost=len(account.lost),
                doubled=len(account.doubled),
                within=self.within,
                recovery=round(self.recovery, 1),
                slowest_upload=round(slowest, 3),
            )
        )
        assert account.lost == ()
        assert account.doubled == ()
        assert account.accounted == account.uploaded
        assert self.recovery <= self.within
        assert len([seconds for seconds in self.uploads.seconds if seconds > UPLOAD_SECONDS]) <= HICCUPS
        assert self.failures_allowed or self.uploads.failures == []


def finished(posts: list[int]) -> Callable[[], bool]:
    """Whether no job of these posts is unfinished; not so while the database does not answer."""
    wanted = list(posts)

    def look() -> bool:
        try:
            return not AnalysisJob.objects.unfinished().filter(post_id__in=wanted).exists()
        except (DatabaseError, InterfaceError):
            connection.close()
            return False

    return look
