"""What a model on trial costs live uploads: bursts and single ones, with the shadow service absent and present."""

from __future__ import annotations

import io
import json
import random
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median, quantiles
from typing import Any

from django.core.management import call_command
from django.core.management.base import CommandError
from django.db.models.functions import Now

from booru_ml import broker
from booru_ml.benchmarks.board import PATIENCE_SECONDS, Board
from booru_ml.benchmarks.limit import cores
from booru_ml.benchmarks.samples import Posts
from booru_ml.benchmarks.stage import stage
from booru_ml.benchmarks.workers import CeleryWorkers, Forked
from booru_ml.checkpoint import Checkpoint, files, pin
from booru_ml.conf import CHECKPOINTS
from booru_ml.models import ModelVersion, Shadow, ShadowLook
from booru_ml.registry import described

TIMES = 3
"""How often a burst uploads each picture: several batches for every worker."""
FIRST = 4
"""Uploads before each round, so that workers and trial have their networks in memory."""
POLL_SECONDS = 0.003
PAUSE_SECONDS = 0.2
"""Between two single uploads, so that each meets an idle worker."""


@dataclass(frozen=True, slots=True)
class Round:
    """What one round's uploads met; ``looked``: the share of them that the trial had judged when the last was done."""

    img_s: float
    latencies: Sequence[float]
    looked: float = 0.0
    pss_mib: float = 0.0


class Service(Forked):
    """The process that looks, as it runs beside workers."""

    def serve(self) -> None:
        call_command("booru_shadow", "run")


class Uploads:
    """Rounds of the same uploads: a burst, then single ones."""

    def __init__(self, board: Board, workers: CeleryWorkers, singles: int) -> None:
        self._board, self._workers, self._singles = board, workers, singles

    def absent(self) -> Round:
        jobs = self._upload(self._board.names[:FIRST])
        more, img_s, latencies = self._all()
        self._board.clear(jobs + more)
        return Round(img_s, latencies)

    def present(self, version: str, log: Path) -> Round:
        """Beside a trial of ``version`` on every upload, which works on what this round has uploaded."""
        call_command("booru_shadow", "begin", version, "--share", "1", stdout=io.StringIO())
        trial = Trial(Shadow.objects.get(state=Shadow.State.RUNNING))
        with Service(log) as service:
            jobs = self._upload(self._board.names[:FIRST])
            trial.wait(len(jobs), service.check)
            more, img_s, latencies = self._all()
            looked, pss_mib = trial.count() - len(jobs), service.pss_mib()
            trial.check()
            call_command("booru_shadow", "end", stdout=io.StringIO())
        self._board.clear(jobs + more)
        return Round(img_s, latencies, looked / len(more), pss_mib)

    def _all(self) -> tuple[list[int], float, list[float]]:
        """The jobs of a round, pictures per second of its burst, seconds from commit to stored of its single ones."""
        names, latencies = self._board.names, []
        jobs, begun = self._board.upload(names * TIMES), time.perf_counter()
        self._board.wait(jobs, self._workers.check)
        img_s = len(jobs) / (time.perf_counter() - begun)
        for number in range(self._singles):
            time.sleep(PAUSE_SECONDS)
            single, begun = self._board.upload([names[number % len(names)]]), time.perf_counter()
            self._board.wait(single, self._workers.check, poll=POLL_SECONDS)
            latencies.append(time.perf_counter() - begun)
            jobs += single
        return jobs, img_s, latencies

    def _upload(self, names: Sequence[str]) -> list[int]:
        jobs = self._board.upload(names)
        self._board.wait(jobs, self._workers.check)
        return jobs


class Trial:
    """What has become of a trial."""

    def __init__(self, row: Shadow) -> None:
        self._row = row

    def count(self) -> int:
        """Pictures that both models have looked at."""
        return ShadowLook.objects.filter(shadow=self._row).count()

    def check(self) -> None:
        """Raises ``CommandError`` where the candidate cannot be loaded, or fails on pictures."""
        self._row.refresh_from_db()
        if self._row.fault:
            raise CommandError(f"The model on trial fails: {self._row.fault}")

    def wait(self, count: int, check: Callable[[], None]) -> None:
        """Until it has looked at so many. Raises ``CommandError`` where it does not."""
        patience = time.monotonic() + PATIENCE_SECONDS
        while self.count() < count:
            check()
            self.check()
            if time.monotonic() > patience:
                raise CommandError(f"The trial has looked at {self.count()} pictures of {count}.")
            time.sleep(0.05)


def measure(
    paths: Sequence[Path],
    *,
    rounds: int,
    uploads: int,
    candidate: Path | None = None,
    say: Callable[[str], None] = lambda text: None,
) -> dict[str, Any]:
    """Medians over interleaved rounds: a burst of the pictures, then ``uploads`` single ones.

    Raises ``CommandError`` where workers or trial do not work, ``CheckpointError`` where ``candidate`` is damaged.
    """
    with ExitStack() as parts:
        folder = parts.enter_context(stage())
        version = register(Checkpoint.load(candidate or twin(folder / "models"))).version
        workers = parts.enter_context(CeleryWorkers(lambda: broker.app, folder / "workers.log", queue=broker.QUEUE))
        board = Board(Posts(), paths)
        board.furnish()
        live = Uploads(board, workers, uploads)
        present = partial(live.present, version, folder / "shadow.log")
        arms: dict[str, Callable[[], Round]] = {"absent": live.absent, "present": present}
        found: dict[str, list[Round]] = {name: [] for name in arms}
        for number in range(-1, rounds):  # the first warms engines and caches up
            for name in random.sample(list(arms), len(arms)):
                one = arms[name]()
                if number >= 0:
                    found[name].append(one)
                say(f"round {number + 1} of {rounds}: {name} {one.img_s:.1f} pictures/s, {one.looked:.0%} looked at")
    about = {"pictures": TIMES * len(paths), "uploads": uploads, "rounds": rounds, "cores": cores()}
    return {**about, "candidate": version, **report(found["absent"], found["present"])}


def report(absent: Sequence[Round], present: Sequence[Round]) -> dict[str, Any]:
    """Ratios (present to absent) are medians of the rounds' own, but for the 95th percentile: a round alone has too few
    uploads for one."""
    pairs = list(zip(absent, present, strict=True))
    told: dict[str, Any] = {}
    for name, rounds in (("absent", absent), ("present", present)):
        latencies = [seconds for one in rounds for seconds in one.latencies]
        told[f"{name}_img_s"] = round(median(one.img_s for one in rounds), 2)
        told[f"{name}_p50_s"] = round(median(latencies), 4)
        told[f"{name}_p95_s"] = round(quantiles(latencies, n=20)[18], 4)
    return {
        **told,
        "ratio_img_s": round(median(with_.img_s / without.img_s for without, with_ in pairs), 3),
        "ratio_p50": round(median(median(with_.latencies) / median(without.latencies) for without, with_ in pairs), 3),
        "ratio_p95": round(told["present_p95_s"] / told["absent_p95_s"], 3),
        "looked_share": round(median(one.looked for one in present), 3),
        "trial_pss_mib": round(max(one.pss_mib for one in present), 1),
    }


def twin(folder: Path) -> Path:
    """``booru-lite`` once more under another name: a trial tells its two models apart by their versions, and this one
    costs what its successor would."""
    target = folder / "booru-lite-twin"
    shutil.copytree(CHECKPOINTS / "booru-lite", target)
    path = target / files.CONFIG
    said: Mapping[str, Any] = json.loads(path.read_text())
    path.write_text(json.dumps({**said, "booru": {**said["booru"], "name": target.name}}))
    pin(target)
    return target


def register(checkpoint: Checkpoint) -> ModelVersion:
    """Without the trial run of ``booru_model add``: it would bring torch into the process that forks the workers."""
    return ModelVersion.objects.create(**described(checkpoint), verified_at=Now())
