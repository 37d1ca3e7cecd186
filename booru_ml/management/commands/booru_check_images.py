"""``manage.py booru_check_images DIR``: which files would be accepted, converted or refused, and why."""

from __future__ import annotations

import json
import os
import sys
from argparse import ArgumentParser
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from django.core.management.base import CommandError

from booru_ml.conf import config
from booru_ml.errors import Unavailable
from booru_ml.management.base import BooruCommand
from booru_ml.progress import track

if TYPE_CHECKING:
    from booru_ml.pipeline.images.folder import Checked


class Command(BooruCommand):
    help = (
        "Decodes every file under DIR as an upload would be and says what becomes of it. Needs neither database nor "
        "server. Exit status: 0 however bad the files are, 2 if DIR does not exist."
    )
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("dir", type=Path, metavar="DIR", help="folder, gone through recursively, or one file")
        parser.add_argument("--json", action="store_true", help="one JSON object a line instead of a table")

    def handle(self, *args: Any, dir: Path, **options: Any) -> None:
        if not dir.exists():
            raise CommandError(f"There is no folder {printable(str(dir))!r}.", returncode=2)
        try:
            results = self._results(dir)
            self._print_json(results) if options["json"] else self._print_table(results)
            sys.stdout.flush()
        except Unavailable as error:
            raise CommandError(error.message) from error
        except BrokenPipeError:
            # The reader (such as head) has seen enough; keep Python from complaining at exit.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())

    def _results(self, folder: Path) -> Iterator[Checked]:
        from booru_ml.pipeline.images import DecoderPool, Limits
        from booru_ml.pipeline.images.folder import check, walk

        with DecoderPool(workers=config().DECODERS, limits=Limits.from_config()) as pool:
            results = check(folder, pool)
            # Where the results themselves scroll by, a bar would only get between their lines.
            if sys.stderr.isatty() and not sys.stdout.isatty():
                results = track(results, "Checking pictures", total=sum(1 for _ in walk(folder)))
            yield from results

    def _print_json(self, results: Iterator[Checked]) -> None:
        for result in results:
            self.stdout.write(json.dumps(asdict(result)))

    def _print_table(self, results: Iterator[Checked]) -> None:
        styles = {"accept": self.style.SUCCESS, "accept-converted": self.style.WARNING, "reject": self.style.ERROR}
        seen: Counter[str] = Counter()
        for result in results:
            seen[result.outcome + (f" ({result.code})" if result.code else "")] += 1
            measures = f"{result.width}×{result.height}" if result.width else ""
            frames = f"{result.frames} frames" if result.frames and result.frames > 1 else ""
            why = ", ".join(result.conversions) if result.conversions else result.code or ""
            self.stdout.write(
                f"{styles[result.outcome](f'{result.outcome:<16}')}  {measures:>11}  {frames:>11}  "
                f"{printable(result.path)}" + (f"  [{why}]" if why else "")
            )
        self.stdout.write("")
        for outcome, number in sorted(seen.items()):
            self.stdout.write(f"{number:>8}  {outcome}")
        self.stdout.write(f"{seen.total():>8}  files")


def printable(text: str) -> str:
    """File names are hostile too: control characters and undecodable bytes are shown escaped."""
    return "".join(char if char.isprintable() else repr(char)[1:-1] for char in text)
