"""``manage.py booru_evaluate``: how good a checkpoint is, on labelled pictures of one's own."""

from __future__ import annotations

import json
from argparse import ArgumentParser
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

from django.core.management.base import CommandError

from booru_ml.disk import is_stream, whole, writing
from booru_ml.evaluation.artist import Artist
from booru_ml.evaluation.characters import Characters
from booru_ml.evaluation.compare import Compare
from booru_ml.evaluation.quality import Quality
from booru_ml.evaluation.rating import RatingTask
from booru_ml.evaluation.tags import Tags
from booru_ml.evaluation.task import Task
from booru_ml.management.base import BooruCommand
from embeddings.evaluation.fewshot import FewShot
from embeddings.evaluation.size import GallerySize

TASKS: tuple[type[Task], ...] = (FewShot, Characters, Artist, Quality, Tags, RatingTask, Compare, GallerySize)


class Command(BooruCommand):
    help = "Measures a checkpoint on labelled pictures, against which nothing is fitted."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        tasks = parser.add_subparsers(dest="task", required=True, metavar="TASK")
        for kind in TASKS:
            task = kind()
            sub = tasks.add_parser(task.name, help=task.help, description=task.help)
            task.add_arguments(sub)
            sub.add_argument(
                "--json", type=Path, metavar="FILE", help="write the figures there; - prints them instead of the table"
            )
            sub.add_argument("--report", type=Path, metavar="DIR", help="write the table and plots there")
            sub.set_defaults(asked=task)

    def handle(self, *args: Any, asked: Task, **options: Any) -> None:
        printed, folder = options["json"] == Path("-"), options["report"]
        written = None if printed else options["json"]
        if written and written.is_dir():
            raise CommandError(f"{written} is a folder; name a file to write after --json.")
        try:
            for place in (written.parent if written and not is_stream(written) else None, folder):
                if place:
                    _try_out(place)
            answer = asked.ask(options, self.stderr.write)
            figures = json.dumps(answer.report, indent=2)
            self.stdout.write(figures if printed else "\n".join(answer.lines))
            if written:
                with whole(written) as partial:
                    partial.write_text(figures + "\n", encoding="utf-8")
            if folder:
                with whole(folder / f"{asked.name}.txt") as partial:
                    partial.write_text("\n".join(answer.lines) + "\n", encoding="utf-8")
                if answer.draw:
                    answer.draw(folder)
        except ImportError as error:
            raise CommandError(f"{error}. Install booru-ml[evaluate] for this.") from error
        except OSError as error:
            raise CommandError(f"A file cannot be used: {error}.") from error


def _try_out(folder: Path) -> None:
    """Whether something can be written there: asked before the long work, not after it."""
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        with TemporaryFile(dir=folder):
            pass
