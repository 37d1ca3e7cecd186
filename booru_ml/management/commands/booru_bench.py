"""``manage.py booru_bench``: measures the plugin on this board and this machine."""

from __future__ import annotations

import json
from argparse import ArgumentParser
from typing import Any

from booru_ml.benchmarks.kinds import KINDS
from booru_ml.management.base import BooruCommand


class Command(BooruCommand):
    help = "Measures the plugin on this board, this database and this machine. What it writes it removes again."

    def add_arguments(self, parser: ArgumentParser) -> None:
        kinds = parser.add_subparsers(dest="kind", required=True)
        for name, kind in KINDS.items():
            sub = kinds.add_parser(name, help=kind.help)
            sub.add_argument("--json", action="store_true", help="one JSON object")
            kind.add_arguments(sub)

    def handle(self, *args: Any, kind: str, **options: Any) -> None:
        chosen = KINDS[kind]
        report = chosen.measure(self.stderr.write, options)
        for line in [json.dumps(report)] if options["json"] else chosen.lines(report):
            self.stdout.write(line)
        chosen.judge(report, options)
