"""``manage.py booru_shadow``: tries a model on live uploads, unheard, before it is promoted."""

from __future__ import annotations

import json
import threading
from argparse import ArgumentParser
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from django.core.management.base import CommandError
from django.db import close_old_connections

from booru_ml import registry
from booru_ml.checkpoint import Checkpoint
from booru_ml.errors import BooruError
from booru_ml.management.base import BooruCommand
from booru_ml.models import Shadow
from booru_ml.niceness import stand_back
from booru_ml.pipeline import leases
from booru_ml.pipeline.processes import when_told_to_stop
from booru_ml.types import Finding, Picture
from embeddings.templatetags.booru_gallery import percent
from tagging import shadow, thresholds, trial
from tagging.rules import Thresholds

if TYPE_CHECKING:
    from booru_ml.nn.engine import Engine

POLL_SECONDS = 1.0
RETRY_SECONDS = 30.0


class Loaded:
    """An engine with the thresholds of its checkpoints."""

    def __init__(self, checkpoints: Sequence[Checkpoint]) -> None:
        self._engine = open_engine(checkpoints)
        self.version = self._engine.version
        self.thresholds: Thresholds = thresholds.of(tuple(checkpoints))

    def look(self, picture: Picture) -> Finding:
        return self._engine.infer([picture])[0]

    def close(self) -> None:
        self._engine.close()


class Pair:
    """The models in force and the candidate; none between trials, so that a waiting service takes no memory."""

    def __init__(self) -> None:
        self._key: object = None
        self._both: tuple[Loaded, Loaded] | None = None

    def of(self, row: Shadow) -> tuple[Loaded, Loaded]:
        """Loaded anew where another model is in force or on trial. Raises ``CheckpointError``."""
        wanted = registry.wanted()
        key = (wanted.version, row.candidate.version)
        if self._both is None or self._key != key:
            self.close()
            self._both = Loaded(wanted.load()), Loaded([Checkpoint.load(row.candidate.folder)])
            self._key = key
            Shadow.objects.filter(pk=row.pk).update(fault="")
        return self._both

    def close(self) -> None:
        for one in self._both or ():
            one.close()
        self._both = None


def open_engine(checkpoints: Sequence[Checkpoint]) -> Engine:
    from booru_ml.nn.engine import Engine
    from booru_ml.pipeline.parts import serving

    engine = Engine(checkpoints, **serving() | {"batch_size": 1})
    engine.warm_up()
    return engine


class Command(BooruCommand):
    help = "Tries a registered model on a share of the uploads beside the models in force. Nobody sees what it says."

    def add_arguments(self, parser: ArgumentParser) -> None:
        verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
        begin = verbs.add_parser("begin", help="from now on; then start `booru_shadow run`")
        begin.add_argument("model", metavar="MODEL", help="its version, or the beginning of it")
        begin.add_argument("--share", type=float, default=0.1, help="of the uploads, 0–1; default: %(default)s")
        run = verbs.add_parser("run", help="the process that looks: a service beside the workers")
        run.add_argument("--once", action="store_true", help="what is due now, then end")
        verbs.add_parser("end", help="end the trial; what was compared stays")
        report = verbs.add_parser("report", help="agreement, precision and recall by category, time per picture")
        report.add_argument("--json", action="store_true", help="one JSON object")

    def handle(self, *args: Any, verb: str, **options: Any) -> None:
        getattr(self, f"_{verb}")(options)

    def _begin(self, options: dict[str, Any]) -> None:
        row = shadow.begin(version=options["model"], share=options["share"])
        self.stdout.write(f"{row.candidate} is tried on {row.share:.0%} of the uploads from now on.")
        self.stdout.write("It looks while `manage.py booru_shadow run` runs; `booru_shadow report` compares.")

    def _end(self, options: dict[str, Any]) -> None:
        self.stdout.write(f"The trial of {shadow.end().candidate} has ended.")

    def _run(self, options: dict[str, Any]) -> None:
        from booru_ml.pipeline.images import DecoderPool, Limits

        stand_back()
        stop = threading.Event()

        def hold() -> bool:
            return stop.is_set() or leases.uploads_wait()

        if not options["once"]:
            when_told_to_stop(lambda *_: stop.set())
        with DecoderPool(workers=1, limits=Limits.from_config()) as decoders:
            pair = Pair()
            while not stop.is_set():
                close_old_connections()
                pause = POLL_SECONDS
                if row := shadow.running():
                    try:
                        active, candidate = pair.of(row)
                        count = shadow.step(row, active=active, candidate=candidate, decoders=decoders, hold=hold)
                        pause = 0.0 if count else POLL_SECONDS
                    except BooruError as error:
                        Shadow.objects.filter(pk=row.pk).update(fault=error.message)
                        if options["once"]:
                            raise
                        self.stderr.write(error.message)
                        pause = RETRY_SECONDS
                else:
                    pair.close()
                if options["once"] and pause:
                    break
                stop.wait(pause)
            pair.close()

    def _report(self, options: dict[str, Any]) -> None:
        row = Shadow.objects.select_related("candidate").first()
        if row is None:
            raise CommandError("No model was ever on trial. Begin with `manage.py booru_shadow begin MODEL`.")
        told = trial.report(row)
        if options["json"]:
            self.stdout.write(json.dumps(told.as_dict()))
            return
        say = self.stdout.write
        say(self.style.MIGRATE_HEADING(f"{told.candidate} beside {', '.join(told.active) or 'nobody yet'}"))
        say(f"  {told.pictures:,} pictures, trial {row.state}" + (f": {row.fault}" if row.fault else ""))
        for who, (median, slow) in told.milliseconds.items():
            say(f"  {who:<10} {median:8.1f} ms a picture, 95 % within {slow:.1f} ms")
        say("  category       both  only active  only candidate  agree   precision        recall")
        for line in told.lines:
            precision = f"{percent(line.active.precision)} → {percent(line.candidate.precision)}"
            recall = f"{percent(line.active.recall)} → {percent(line.candidate.recall)}"
            say(
                f"  {line.category:<12}{line.both:>7}{line.only_active:>13}{line.only_candidate:>16}"
                f"{percent(line.agreement):>7}   {precision:<15}  {recall}"
            )
        say("  precision and recall are of what people have decided on these posts (active → candidate)")
