"""``booru_sweep NAME``: looks for a character or artist on every post, or says how far such searches are."""

from __future__ import annotations

import time
from typing import Any

from django.core.management.base import CommandError, CommandParser

from booru_ml.management.base import BooruCommand
from booru_ml.progress import progress
from embeddings.models import Subject
from embeddings.services import clean_name, named
from tagging import sweeper, sweeps
from tagging.models import Sweep

TURNS = {"pause": sweeps.pause, "resume": sweeps.resume, "cancel": sweeps.cancel, "undo": sweeps.undo}
State = Sweep.State


class Command(BooruCommand):
    help = (
        "Looks for an enrolled character or artist on all posts that are analysed; what it finds becomes suggestions. "
        "Stop it at any time: workers go on with it by themselves, and --undo takes all of it back."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("name", nargs="?", help="whom to look for; how far all searches are, without")
        parser.add_argument("--category", choices=Subject.Category.values, default="character")
        parser.add_argument("--threshold", type=float, help="the least probability that is suggested, 0–1")
        parser.add_argument("--background", action="store_true", help="leave it to the workers")
        verbs = parser.add_mutually_exclusive_group()
        verbs.add_argument("--pause", dest="turn", action="store_const", const="pause")
        verbs.add_argument("--resume", dest="turn", action="store_const", const="resume")
        verbs.add_argument(
            "--cancel", dest="turn", action="store_const", const="cancel", help="end it; suggestions stay"
        )
        verbs.add_argument("--undo", dest="turn", action="store_const", const="undo", help="take back what it changed")

    def handle(self, *args: Any, name: str | None, **options: Any) -> None:
        if name is None:
            for order in Sweep.objects.all()[:20]:
                self._say(order)
            return
        order = self._order(name, options)
        if order.state in Sweep.MOVING and not options["background"]:
            self._work(order)
        self._say(order)

    def _order(self, name: str, options: dict[str, Any]) -> Sweep:
        subject = named(name, options["category"])
        if options["turn"] is None:
            if subject is None:
                raise CommandError(f"There is no {options['category']} {name}; enrol it first (booru_enrol).")
            return sweeps.begin(subject_id=subject.pk, threshold=options["threshold"])
        known = subject.name if subject else clean_name(name)
        latest = Sweep.objects.filter(category=options["category"], name__iexact=known).first()
        if latest is None:
            raise CommandError(f"Nobody has looked for {name} yet.")
        return TURNS[options["turn"]](sweep_id=latest.pk)

    def _work(self, order: Sweep) -> None:
        """Until it is done, whoever does it: workers may help."""
        undoing, shown = order.state == State.UNDOING, order.passed
        total = order.steps.count() if undoing else order.total
        with progress("steps back" if undoing else "posts", total=total, done=0 if undoing else shown) as advance:
            while order.state in Sweep.MOVING and not order.fault:
                steps = sweeper.advance(sweep_id=order.pk)
                order.refresh_from_db()
                advance(steps if undoing else order.passed - shown)
                shown = order.passed
                if not steps:
                    time.sleep(0.2)  # a worker has the order in hand

    def _say(self, order: Sweep) -> None:
        self.stdout.write(
            f"{order}: {order.get_state_display().lower()}; {order.passed} of {order.total} posts passed, "
            f"{order.suggested} suggested, {order.withdrawn} withdrawn, {order.taken_back} taken back."
        )
        if order.fault:
            self.stdout.write(self.style.ERROR(f"  {order.fault}"))
