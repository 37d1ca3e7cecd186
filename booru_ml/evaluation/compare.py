"""``booru_evaluate compare``: two models on the same pictures, with paired tests."""

from __future__ import annotations

import shlex
from argparse import ArgumentParser
from dataclasses import asdict
from pathlib import Path
from typing import NoReturn

from booru_ml.errors import InvalidInput
from booru_ml.evaluation.answers import Answers
from booru_ml.evaluation.artist import Artist
from booru_ml.evaluation.characters import Characters
from booru_ml.evaluation.intervals import mcnemar, paired
from booru_ml.evaluation.measured import Measured, load, plain
from booru_ml.evaluation.quality import Quality
from booru_ml.evaluation.rating import RatingTask
from booru_ml.evaluation.tags import Tags
from booru_ml.evaluation.task import Answer, Options, Say, Task, natural

ASKED: dict[str, type[Measured]] = {task.name: task for task in (Characters, Artist, Quality, Tags, RatingTask)}


class Compare(Task):
    name = "compare"
    help = "two models on the same pictures: McNemar's test for accuracy, a paired bootstrap for each figure"

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--of", choices=ASKED, required=True, help="what both are asked")
        parser.add_argument("--data", type=Path, required=True, metavar="DIR", help="as that task takes it")
        parser.add_argument("--model", required=True, metavar="M", help="the first model: folder or name")
        parser.add_argument("--against", required=True, metavar="M", help="the second one")
        parser.add_argument("--seed", type=natural, default=0, help="of folds and bootstrap; default: %(default)s")
        parser.add_argument(
            "--with",
            dest="more",
            default="",
            metavar="OPTIONS",
            help="more options of that task, in one word: --with='--folds 4'",
        )

    def ask(self, options: Options, say: Say) -> Answer:
        task = ASKED[options["of"]]()
        first, second = (_answers(task, options, model, say) for model in (options["model"], options["against"]))
        told = paired(first[1], second[1], task.metrics, seed=options["seed"], resamples=first[2])
        lines = [f"{first[0]} and {second[0]} on {options['data']}: {len(first[1])} pictures"]
        lines += [f"  {name.replace('_', ' ')}: {value}" for name, value in told.items()]
        figures = {name: asdict(value) for name, value in told.items()}
        p: float | None = None
        if first[1].truth.ndim == 1:
            p = mcnemar(first[1], second[1])
            lines.append(f"  right or wrong, picture by picture: p = {p:.3g} (McNemar, exact)")
        models = {"first": first[0], "second": second[0], "pictures": len(first[1])}
        return Answer(plain({**models, "mcnemar_p": p, "figures": figures}), lines)


class _Words(ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise InvalidInput(f"--with: {message}. `manage.py {self.prog} --help` lists its options.")


def _answers(task: Measured, options: Options, model: str, say: Say) -> tuple[str, Answers, int]:
    """Who answered, what, and how many resamples the task takes."""
    parser = _Words(prog=f"booru_evaluate {task.name}", add_help=False)
    task.add_arguments(parser)
    words = ["--data", str(options["data"]), "--model", model, "--seed", str(options["seed"])]
    asked = vars(parser.parse_args([*words, *shlex.split(options["more"])]))
    if asked.get("store"):
        raise InvalidInput("compare changes no checkpoint; leave --store out.")
    checkpoint = load(model, asked["threads"])
    return checkpoint.version, task.find(checkpoint, asked, say).answers, asked["resamples"]
