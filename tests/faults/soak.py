"""Thousands of uploads while something is killed every few seconds; at the end the books must balance."""

from __future__ import annotations

import random
import statistics
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

import psutil

from booru_ml.models import AnalysisJob
from booru_ml.progress import progress
from tests.faults.accounts import Account, settle
from tests.faults.crew import Crew
from tests.faults.pictures import drawing
from tests.faults.uploads import Uploads
from tests.servers import EmbeddedRedis

MIB = 2**20
BACKLOG = 300
"""Uploads pause while this many wait, so that rows are in flight at every kill."""
SAMPLE_SECONDS = 2.0
PATIENCE = 300.0


@dataclass
class Ledger:
    account: Account
    seconds: float
    kills: Counter[str]
    recoveries: list[tuple[float, str]]
    """Seconds, and from what."""
    attempts: Counter[int]
    """Uploads by how often they were tried."""
    slowest_upload: float
    failed_uploads: int
    pss: list[float] = field(default_factory=list)

    @property
    def quarters(self) -> tuple[float, float]:
        """Median memory of all workers together in the first and the last quarter, in MiB."""
        size = max(1, len(self.pss) // 4)
        return statistics.median(self.pss[:size]), statistics.median(self.pss[-size:])

    def text(self) -> str:
        books = self.account
        first, last = self.quarters
        kills = ", ".join(f"{name} {number}" for name, number in sorted(self.kills.items()))
        tried = ", ".join(f"{number} × {times}" for times, number in sorted(self.attempts.items()))
        recoveries = sorted(self.recoveries) or [(0.0, "nothing")]
        seconds, victim = recoveries[-1]
        return "\n".join(
            [
                f"uploaded      {books.uploaded:6}   in {self.seconds:.0f} s, the slowest upload "
                f"{self.slowest_upload:.2f} s, failed {self.failed_uploads}",
                f"done          {books.done:6}",
                f"refused       {books.refused:6}",
                f"quarantined   {books.quarantined:6}",
                f"lost          {len(books.lost):6}",
                f"doubled       {len(books.doubled):6}",
                f"kills         {self.kills.total():6}   {kills}",
                f"recovery           median {statistics.median([one for one, _ in recoveries]):.1f} s, "
                f"longest {seconds:.1f} s ({victim})",
                f"attempts           {tried}",
                f"memory (PSS)       first quarter {first:.0f} MiB, last quarter {last:.0f} MiB",
            ]
        )

    @property
    def balanced(self) -> bool:
        books = self.account
        return not books.lost and not books.doubled and books.accounted == books.uploaded and not self.failed_uploads


class Soak:
    """A Celery worker of two processes, started again whenever it dies, and somebody with a gun."""

    def __init__(self, crew: Crew, server: EmbeddedRedis, uploads: Uploads, *, every: float, seed: int) -> None:
        self.crew, self.server, self.uploads = crew, server, uploads
        self.every, self.random = every, random.Random(seed)
        self.kills: Counter[str] = Counter()
        self.recoveries: list[tuple[float, str]] = []
        self.pss: list[float] = []
        self._watched: list[tuple[float, str, set[int]]] = []
        self._later: list[tuple[float, Callable[[], None]]] = []

    def run(self, pictures: int, *, kills: int = 0) -> Ledger:
        """Uploads ``pictures``, and more while fewer than ``kills`` shots were fired: machines differ in speed."""
        begun = kill_at = sample_at = time.monotonic()
        kill_at += self.every
        shown = 0
        self.crew.celery()
        with progress("soaking", total=pictures) as advance:
            last_news = time.monotonic()
            while True:
                now = time.monotonic()
                unfinished = AnalysisJob.objects.unfinished().count()
                finished = len(self.uploads.posts) - unfinished
                if finished > shown:
                    advance(finished - shown)
                    shown, last_news = finished, now
                self._watch(now)
                if len(self.uploads.posts) >= pictures and self.kills.total() < kills:
                    pictures += 10
                if len(self.uploads.posts) >= pictures and not unfinished:
                    break
                if now - last_news > PATIENCE:
                    break
                if len(self.uploads.posts) < pictures and unfinished < BACKLOG:
                    self.uploads.many(min(10, pictures - len(self.uploads.posts)), drawing)
                else:
                    time.sleep(0.2)
                if now >= kill_at:
                    self._shoot(now)
                    kill_at = now + self.every
                if now >= sample_at:
                    self._sample()
                    sample_at = now + SAMPLE_SECONDS
                for due, act in [item for item in self._later if item[0] <= now]:
                    act()
                    self._later.remove((due, act))
        for _, act in self._later:
            act()
        return Ledger(
            account=settle(self.uploads.posts),
            seconds=time.monotonic() - begun,
            kills=self.kills,
            recoveries=self.recoveries,
            attempts=Counter(AnalysisJob.objects.values_list("attempts", flat=True)),
            slowest_upload=max(self.uploads.seconds),
            failed_uploads=len(self.uploads.failures),
            pss=self.pss,
        )

    def _shoot(self, now: float) -> None:
        victim = self.random.choice(
            ["worker", "child", "warm decoder", "decoding process", "Redis", "Redis's answers", "memory"]
        )
        running = set(AnalysisJob.objects.filter(state="running").values_list("pk", flat=True))
        try:
            decoders = self.crew.decoders
            if victim == "worker":
                self.crew.kill_all()
                self._later.append((now + 1, lambda: self.crew.celery() and None))
            elif victim == "child":
                self.crew.kill(self.random.choice(self.crew.workers()))
            elif victim == "warm decoder":
                self.crew.kill(self.random.choice(decoders).pid)
            elif victim == "decoding process":
                self.crew.kill(self.random.choice([one for each in decoders for one in each.children()]).pid)
            elif victim == "memory":
                give_back = self.crew.starve()
                self._later.append((now + 3, give_back))
            elif self.server.process is None:
                return  # away already
            elif victim == "Redis's answers":
                self.server.freeze()
                self._later.append((now + 2, self.server.thaw))
            else:
                self.server.kill()
                self._later.append((now + 2, self.server.start))
        except (IndexError, ProcessLookupError, psutil.NoSuchProcess):
            return  # between two lives: next time
        self.kills[victim] += 1
        self._watched.append((now, victim, running))

    def _watch(self, now: float) -> None:
        """Notes how long it took until all that was in hand at a kill was finished."""
        for shot in list(self._watched):
            at, victim, rows = shot
            if not AnalysisJob.objects.unfinished().filter(pk__in=rows).exists():
                self.recoveries.append((now - at, victim))
                self._watched.remove(shot)

    def _sample(self) -> None:
        total = 0
        for one in self.crew.everyone:
            try:
                total += one.memory_full_info().pss
            except psutil.Error:
                continue
        if total:
            self.pss.append(total / MIB)
