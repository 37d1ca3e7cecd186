"""``manage.py booru_demo``: the reference board with everything it needs, at work."""

from __future__ import annotations

import contextlib
import logging
import signal
import sys
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from rich.console import Console

from deploy.demo.launch import report
from deploy.demo.launch.broker import NoBroker
from deploy.demo.launch.client import Refused
from deploy.demo.launch.demo import Demo, DemoFailed, Options, only_one
from deploy.demo.launch.pictures import NoPictures
from deploy.demo.launch.processes import ChildDied, Processes

STOPS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Stopped(BaseException):
    """Somebody asked the demo to stop."""

    def __init__(self, number: int) -> None:
        self.number = number


class Command(BaseCommand):
    help = (
        "Starts a board with a web server, a Redis (where none answers at REDIS_URL) and a worker, uploads pictures "
        "the way people do, enrols some characters, shows what was recognised, and keeps serving until Ctrl-C. "
        f"With --exit it stops by itself and passes (exit status 0) when {report.RULE.replace('%', '%%')}."
    )
    requires_migrations_checks = False

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--pictures", type=Path, help="a folder with one subfolder of pictures per character")
        parser.add_argument("--port", type=int, default=8000, help="the web server's port, or the next free one")
        parser.add_argument("--exit", action="store_true", help="stop after the result, exit status 0 if it is good")
        parser.add_argument("--characters", type=int, default=8, help="how many characters to enrol at most (8)")
        parser.add_argument("--support", type=int, default=5, help="pictures to enrol each from (5)")
        parser.add_argument("--others", type=int, default=40, help="pictures to recognise (40)")

    def handle(self, *args: Any, **options: Any) -> None:
        if not 1 <= options["port"] <= 65_535:
            raise CommandError("--port is a number from 1 to 65535.")
        for name in ("characters", "support", "others"):
            if options[name] < 1:
                raise CommandError(f"--{name} must be 1 or more.")
        chosen = Options(**{name: options[name] for name in Options.__slots__})
        console = Console(width=None if sys.stdout.isatty() else 150, highlight=False)
        for number in STOPS:
            signal.signal(number, _stop)
        home = Path(settings.HOME)
        try:
            with only_one(home), Processes(home / "log") as processes:
                _log_to(processes.logs / "demo.log")
                try:
                    status = self._run(chosen, processes, console)
                finally:
                    # A second Ctrl-C must not leave half of it running; a closed terminal must not keep it from ending.
                    for number in STOPS:
                        signal.signal(number, signal.SIG_IGN)
                    with contextlib.suppress(OSError):
                        console.print("Stopping …" if processes.children else "")
        except Stopped as stopped:
            sys.exit(128 + stopped.number)
        except (NoPictures, NoBroker, DemoFailed, ChildDied, Refused) as error:
            raise CommandError(str(error)) from None
        if status:
            sys.exit(status)

    def _run(self, options: Options, processes: Processes, console: Console) -> int:
        demo, shown = Demo(options, processes, console), False
        try:
            good = demo.run()
            shown = True
            if not options.exit:
                demo.serve()
        except Stopped as stopped:
            return 0 if shown else 128 + stopped.number
        return 0 if good else 1


def _log_to(file: Path) -> None:
    """The terminal is for people: what this process logs goes where its children's logs are."""
    file.parent.mkdir(parents=True, exist_ok=True)
    handler = logging.FileHandler(file, mode="w")
    handler.setFormatter(next(iter(logging.getLogger().handlers), handler).formatter)
    for name in (None, "django"):
        logging.getLogger(name).handlers = [handler]


def _stop(number: int, frame: object) -> None:
    raise Stopped(number)
