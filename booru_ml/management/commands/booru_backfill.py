"""``manage.py booru_backfill``: old posts into the queue, a few at a time."""

from __future__ import annotations

import contextlib
import json
import time
from argparse import ArgumentParser
from collections.abc import Callable
from datetime import datetime
from datetime import time as clock
from typing import Any

from django.conf import settings
from django.core.management.base import CommandError
from django.utils import timezone
from django.utils.dateparse import parse_date, parse_datetime

from booru_ml import registry
from booru_ml.errors import BooruError
from booru_ml.host.loader import host
from booru_ml.management.base import BooruCommand
from booru_ml.models import Backfill
from booru_ml.pipeline import backfill, facts, feeder, orders
from booru_ml.pipeline.backfill import Order, Verdict
from booru_ml.progress import progress, span

POLL_SECONDS = 0.5
State = Backfill.State


class Command(BooruCommand):
    help = (
        "Queues old posts for analysis, newest first: those whose picture the present models have not analysed yet. "
        "Fresh uploads and re-runs always go before them. Stop it at any time and run it again: nothing is queued "
        "twice or passed over. Ctrl-C pauses; kill it, and the workers go on with it by themselves."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--since", metavar="DATE", help="only posts from then on: 2026-01-31 or 2026-01-31T12:00")
        parser.add_argument("--tags", default="", metavar="'A B'", help="only posts that carry all these tags")
        parser.add_argument("--limit", type=int, metavar="N", help="queue no more than N posts")
        parser.add_argument(
            "--model",
            default="",
            metavar="VERSION",
            help="only posts that were analysed last by this version; the beginning of its name will do. What the "
            "present version has analysed is never queued again: for that, use Run again in the admin",
        )
        parser.add_argument(
            "--refused",
            action="store_true",
            help="also posts whose picture was refused (damaged, too large, no picture); no model changes that, but "
            "other limits may",
        )
        parser.add_argument("--rate", metavar="N/min", help="queue no faster than this: 30/min, 2/s or 5000/h")
        parser.add_argument("--no-wait", action="store_true", help="end when all is queued, not when all is analysed")
        parser.add_argument("--background", action="store_true", help="begin, and leave the rest to the workers")
        verbs = parser.add_mutually_exclusive_group()
        verbs.add_argument("--dry-run", action="store_true", help="count what would be queued, and queue nothing")
        verbs.add_argument("--pause", action="store_true", help="queue no more until --resume (also in the admin)")
        verbs.add_argument("--resume", action="store_true", help="go on with the one that is under way or paused")
        verbs.add_argument("--cancel", action="store_true", help="end it; what waits already is worked off")
        verbs.add_argument("--status", action="store_true", help="how far it is")
        parser.add_argument("--json", action="store_true", help="--status and --dry-run as one JSON object")

    def handle(self, *args: Any, **options: Any) -> None:
        verbs: dict[str, Callable[[], Backfill]] = {"pause": orders.pause, "cancel": orders.cancel}
        order = _order(options)
        chosen = next((name for name in (*verbs, "resume", "status") if options[name]), "")
        if chosen and order != Order():
            raise CommandError(f"--{chosen} takes no further wishes: there is one backfill at most.")
        if chosen in verbs:
            verbs[chosen]()
        if chosen in (*verbs, "status"):
            self._status(as_json=options["json"])
        elif options["dry_run"]:
            self._dry_run(order, as_json=options["json"])
        else:
            known = self._begin(order, resume=options["resume"])
            if options["background"]:
                feeder.feed()
                self._status(as_json=options["json"])
            else:
                self._feed(known, wait=not options["no_wait"])

    def _say(self, text: str) -> None:
        self.stderr.write(text, lambda plain: plain)  # no error, so not in its colour

    def _begin(self, order: Order, *, resume: bool) -> Backfill:
        known = orders.resume() if resume else orders.begin(order)
        verb = "Going on with" if known.passed else "Beginning"
        self._say(f"{verb} {known.wish}: {known.total} posts match, for {known.pipeline_version}.")
        running = {worker.pipeline_version for worker in facts.alive_workers()} - {"", known.pipeline_version}
        if running:
            self._say(f"Workers still run {', '.join(sorted(running))}: restart them, or they do it their way.")
        return known

    def _feed(self, order: Backfill, *, wait: bool) -> None:
        """Until everything is queued (``wait``: analysed), somebody ends it, or no worker is there to wait for."""
        waiting, ending = orders.waiting(), ""
        shown, told = backfill.reached(order, waiting=waiting), State.RUNNING.value
        with progress("backfill", total=backfill.goal(order), done=shown) as advance:
            try:
                while not ending:
                    fed = feeder.feed()
                    order.refresh_from_db()
                    waiting = orders.waiting()
                    now = backfill.reached(order, waiting=waiting)
                    if now > shown:
                        advance(now - shown)
                        shown = now
                    if order.state == State.CANCELLED:
                        ending = "It was cancelled from elsewhere."
                    elif order.state == State.FINISHED and not (wait and waiting):
                        ending = "Done." if wait else "Everything is queued."
                    elif waiting and not fed and not facts.alive_workers():
                        ending = "No worker is at work. Start one: it goes on with this by itself."
                    elif order.state == State.PAUSED and told != order.state:
                        self._say("Paused from elsewhere; waiting for --resume.")
                    told = order.state
                    if not fed and not ending:
                        time.sleep(POLL_SECONDS)
            except KeyboardInterrupt:
                ending = self._interrupted()
        self._say(ending)
        self._status(as_json=False)

    def _interrupted(self) -> str:
        with contextlib.suppress(BooruError):
            orders.pause()
            return "Paused. Go on with --resume, here or in the admin; end it with --cancel."
        return "Everything was queued already; the workers go on."

    def _dry_run(self, order: Order, *, as_json: bool) -> None:
        orders.check(order, version=registry.pipeline_version())
        total = host().count(since=order.since, tags=order.tags)
        looked, counts = 0, dict.fromkeys(Verdict, 0)
        with progress("looking", total=total) as advance:
            for now, counts in feeder.survey(order):  # noqa: B007 - the last one counts
                advance(now - looked)
                looked = now
        needed = counts[Verdict.NEEDED] + counts[Verdict.AGAIN]
        if as_json:
            said = {"posts": looked, "to_queue": needed, "known": counts[Verdict.KNOWN], "other": counts[Verdict.OTHER]}
            self.stdout.write(json.dumps(said | {"refused": counts[Verdict.REFUSED]}))
            return
        self.stdout.write(f"{needed} of {looked} posts would be analysed by {registry.pipeline_version()}.")
        self.stdout.write(f"  {counts[Verdict.KNOWN]} have been, or wait for it")
        self.stdout.write(f"  {counts[Verdict.REFUSED]} were refused earlier (--refused takes them too)")
        self.stdout.write(f"  {counts[Verdict.OTHER]} have no picture, or were analysed last by another version")

    def _status(self, *, as_json: bool) -> None:
        queue = facts.queue_facts()
        known = facts.backfill_facts(queue)
        if as_json:
            self.stdout.write(json.dumps(known.as_dict() if known else None))
        elif known is None:
            self.stdout.write("There has been no backfill on this board.")
        else:
            order = known.order
            self.stdout.write(f"{order.get_state_display().capitalize()}: {order.wish}, by {order.pipeline_version}")
            self.stdout.write(f"  {known.reached} of {known.goal} done; {order.queued} queued, {known.waiting} waiting")
            if order.left_refused:
                self.stdout.write(f"  {order.left_refused} left alone: they were refused (--refused takes them)")
            if known.eta_seconds:
                self.stdout.write(f"  {span(known.eta_seconds)} to go at {queue.per_minute:.0f} pictures a minute")
            if order.fault:
                self.stdout.write(self.style.ERROR(f"  {order.fault}"))


def _order(options: dict[str, Any]) -> Order:
    limit, rate = options["limit"], options["rate"]
    if limit is not None and not 0 < limit < 2**31:
        raise CommandError("--limit is 1 or more.")
    return Order(
        since=_moment(options["since"]) if options["since"] else None,
        tags=tuple(sorted(set(options["tags"].split()))),
        limit=limit,
        model=options["model"],
        refused=options["refused"],
        per_minute=backfill.per_minute(rate) if rate else None,
    )


def _moment(text: str) -> datetime:
    with contextlib.suppress(ValueError):
        if day := parse_date(text):
            return _aware(datetime.combine(day, clock.min))
        if moment := parse_datetime(text):
            return _aware(moment)
    raise CommandError(f"--since takes a date such as 2026-01-31, or 2026-01-31T12:00, not {text!r}.")


def _aware(moment: datetime) -> datetime:
    return timezone.make_aware(moment) if settings.USE_TZ and timezone.is_naive(moment) else moment
