"""``manage.py booru_worker``: analyses waiting pictures without any broker."""

from __future__ import annotations

import signal
import time
from argparse import ArgumentParser
from contextlib import suppress
from typing import Any

from django.core.management.base import CommandError

from booru_ml.management.base import BooruCommand, unmigrated
from booru_ml.models import AnalysisJob
from booru_ml.pipeline import memory
from booru_ml.pipeline.processes import keep_running, when_told_to_stop
from booru_ml.pipeline.worker import STOP_SECONDS, Worker

REPORT_SECONDS = 5.0


class Command(BooruCommand):
    help = (
        "Analyses waiting pictures. Needs no broker: it looks into the database by itself. Stop it with Ctrl-C, by "
        "SIGTERM or by closing its terminal; it finishes or returns the batch in work. Runs beside any number of "
        "other workers."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--once", action="store_true", help="work off what is ready now, then end")
        parser.add_argument("--idle-exit", action="store_true", help="end as soon as no job is unfinished")
        parser.add_argument(
            "--processes",
            type=int,
            default=1,
            metavar="N",
            help="worker processes, each with its own engine (default 1)",
        )

    def handle(self, *args: Any, once: bool, idle_exit: bool, processes: int, **options: Any) -> None:
        if processes < 1:
            raise CommandError("--processes is 1 or more.")
        if processes > 1:
            flags = [flag for flag, on in (("--once", once), ("--idle-exit", idle_exit)) if on]
            raise SystemExit(keep_running(["booru_worker", *flags], processes, forever=not flags))
        memory.watch()
        worker = Worker(report=self._report, owns_process=True)

        def stop(*_: object) -> None:
            worker.stop.set()
            signal.alarm(int(STOP_SECONDS))  # the kernel ends what hangs then, as on a storage that never answers

        when_told_to_stop(stop)
        self._say(f"worker {worker.name} looks for jobs")
        self._said = time.monotonic()
        worker.run(once=once, idle_exit=idle_exit)
        self._say(f"worker {worker.name} ends after {worker.pictures} pictures")
        if worker.fault:
            raise CommandError(unmigrated() or worker.fault, returncode=memory.EXIT_STATUS if worker.spent else 1)

    def _report(self, pictures: int) -> None:
        if time.monotonic() - self._said >= REPORT_SECONDS:
            self._said = time.monotonic()
            self._say(f"{pictures} analysed, {AnalysisJob.objects.unfinished().count()} to go")

    def _say(self, text: str) -> None:
        with suppress(OSError):  # a terminal that was closed
            self.stderr.write(text)
