"""``manage.py booru_status``: the queue, the workers and the failures at a glance."""

from __future__ import annotations

import json
import sys
from argparse import ArgumentParser
from typing import Any

from booru_ml.management.base import BooruCommand
from booru_ml.models import AnalysisJob
from booru_ml.pipeline import facts
from booru_ml.pipeline.figures import QueueFacts
from booru_ml.progress import span


class Command(BooruCommand):
    help = "Shows waiting, running and finished jobs, workers and failures. --check: exit 1 if nothing works them off."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--json", action="store_true", help="one JSON object")
        parser.add_argument(
            "--check",
            action="store_true",
            help="exit 1 if no worker is able to work, or a job has been waiting for more than --max-age seconds",
        )
        parser.add_argument("--max-age", type=float, default=120.0, metavar="S", help="for --check (default 120)")

    def handle(self, *args: Any, check: bool, max_age: float, **options: Any) -> None:
        queue = facts.queue_facts()
        if options["json"]:
            self.stdout.write(json.dumps(self._as_dict(queue)))
        else:
            self._print(queue)
        if check and (not queue.working or queue.oldest_ready_seconds > max_age):
            self.stderr.write("NOT WORKING: " + self._why(queue))
            sys.exit(1)

    @staticmethod
    def _why(queue: QueueFacts) -> str:
        if not queue.workers:
            return "no worker has been seen lately; start one with `manage.py booru_worker`."
        if not queue.working:
            return f"every worker has a fault, such as: {queue.workers[0].fault}"
        return f"a job has been waiting for {queue.oldest_ready_seconds:.0f} s."

    @staticmethod
    def _as_dict(queue: QueueFacts) -> dict[str, Any]:
        priorities = dict(AnalysisJob.Priority.choices)
        return {
            "states": queue.states,
            "unfinished": {f"{state}/{priorities[p].lower()}": n for (state, p), n in queue.unfinished.items()},
            "reasons": {f"{state}/{code}": number for (state, code), number in queue.reasons.items()},
            "oldest_ready_seconds": round(queue.oldest_ready_seconds, 3),
            "retrying": queue.retrying,
            "stuck": vars(queue.stuck),
            "held": queue.held,
            "uploaders_over_limit": queue.uploaders_over_limit,
            "per_minute": round(queue.per_minute, 1),
            "eta_seconds": None if queue.eta_seconds is None else round(queue.eta_seconds),
            "backfill": known.as_dict() if (known := facts.backfill_facts(queue)) else None,
            "workers": [vars(worker) for worker in queue.workers],
            "last_failures": [
                {"job": job.pk, "post": str(job.post_id), "code": job.code, "message": job.message}
                for job in facts.last_failures()
            ],
        }

    def _print(self, queue: QueueFacts) -> None:
        say, bold = self.stdout.write, self.style.MIGRATE_HEADING
        priorities = dict(AnalysisJob.Priority.choices)
        say(bold("Jobs"))
        for state, label in AnalysisJob.State.choices:
            parts = [
                f"{number} {priorities[p].lower()}" for (s, p), number in sorted(queue.unfinished.items()) if s == state
            ]
            say(f"  {label:<18}{queue.states[state]:>8}" + (f"   ({', '.join(parts)})" if parts else ""))
        if queue.oldest_ready_seconds:
            say(f"  the oldest has been waiting for {queue.oldest_ready_seconds:.1f} s")
        eta = "" if not queue.eta_seconds else f", done in {span(queue.eta_seconds)} if it goes on like this"
        say(f"  {queue.per_minute:.1f} pictures a minute{eta}")
        if queue.held:
            say(f"  {queue.uploaders_over_limit} uploaders have more waiting than their share; {queue.held} are held")
        for why, number in vars(queue.stuck).items():
            if number:
                say(self.style.ERROR(f"  stuck: {number} {why}"))
        if known := facts.backfill_facts(queue):
            say(bold("Backfill"))
            say(f"  {known.order.state}: {known.reached} of {known.goal} ({known.order.wish})")
            if known.order.fault:
                say(self.style.ERROR(f"  {known.order.fault}"))
        say(bold("Workers"))
        for worker in queue.workers:
            state = self.style.ERROR(worker.fault) if worker.fault else "working"
            if worker.behind:
                state += self.style.WARNING(f" with the former models: {worker.behind}")
            say(
                f"  {worker.name:<30}{worker.pictures:>8} pictures   "
                f"seen {worker.seconds_since_seen:.0f} s ago   {state}"
            )
        if not queue.workers:
            say("  none; start one with `manage.py booru_worker` or `celery -A booru_ml.broker worker`")
        for worker in facts.lost_workers():
            say(self.style.ERROR(f"  {worker.name:<30} lost, last seen {worker.seconds_since_seen:.0f} s ago"))
        if queue.retrying:
            say(bold("Tried again"))
            for code, number in sorted(queue.retrying.items(), key=lambda item: -item[1]):
                say(f"  {number:>8}  {code}")
        if queue.reasons:
            say(bold("Refused and given up"))
            for (state, code), number in sorted(queue.reasons.items(), key=lambda item: -item[1]):
                say(f"  {number:>8}  {state}: {code}")
        for job in facts.last_failures():
            say(f"  job {job.pk}, post {job.post_id}: {job.message}")
