"""``booru_evaluate fewshot``: recognition from a few pictures, in episodes (Snell et al. 2017)."""

from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path

from booru_ml.errors import InvalidInput
from booru_ml.evaluation.task import Answer, Options, Say, Task


class FewShot(Task):
    name = "fewshot"
    help = "recognition of characters from a few pictures of each"

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--data",
            type=Path,
            required=True,
            metavar="DIR",
            help="class subfolders, or a manifest.csv with path, character and perhaps group and split",
        )

    def ask(self, options: Options, say: Say) -> Answer:
        from booru_ml.training import manifest

        samples = manifest.read(options["data"], label="character")
        if len({sample.label for sample in samples}) < 2:
            raise InvalidInput(f"{options['data']} holds one class only; nothing can be told apart.")
        return Answer({}, [f"{len(samples)} pictures"])
