"""Writes posts that people decided about as a folder of pictures to train with."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.core.management.base import CommandParser

from booru_ml.management.base import BooruCommand
from booru_ml.progress import progress
from tagging import exports


class Command(BooruCommand):
    help = (
        "Writes the posts whose suggestions people accepted or rejected as a folder for booru_train: pictures and "
        "manifest.csv. May be cut off and begun again."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="the folder to write")
        parser.add_argument("--copy", action="store_true", help="copy pictures even where they could be hard-linked")

    def handle(self, *args: Any, out: Path, copy: bool, **options: Any) -> None:
        done = exports.Exported(0, 0, 0)
        with progress("posts", total=len(exports.decided_posts())) as advance:
            for counts in exports.export(out, link=not copy):
                done = counts
                advance()
        self.stdout.write(
            f"{done.posts} decided posts in {out}, {done.kept} of their pictures there before; "
            f"{done.gone} posts are gone or have no picture. Look through them: booru_train check --data {out}"
        )
