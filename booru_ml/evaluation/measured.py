"""What the tasks that score a model on labelled pictures have in common: whom to ask, and how figures are told."""

from __future__ import annotations

import math
from abc import abstractmethod
from argparse import ArgumentParser
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from booru_ml.errors import InvalidInput
from booru_ml.evaluation import report
from booru_ml.evaluation.answers import Findings
from booru_ml.evaluation.intervals import RESAMPLES, Interval, Metric, bootstrap
from booru_ml.evaluation.task import Answer, Options, Say, Task, natural, positive

if TYPE_CHECKING:
    from booru_ml.checkpoint import Checkpoint

SHIPPED = Path(__file__).parents[1] / "checkpoints"


class Measured(Task):
    """A model's answers on labelled pictures, and figures of them with intervals."""

    metrics: ClassVar[Mapping[str, Metric]]
    model: ClassVar[str | None] = "booru-lite"
    resamples: ClassVar[int] = RESAMPLES

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--data", type=Path, required=True, metavar="DIR", help="class subfolders, or a folder with manifest.csv"
        )
        parser.add_argument(
            "--model",
            default=self.model,
            required=self.model is None,
            metavar="M",
            help="a checkpoint folder, or the name of one that ships"
            + ("" if self.model is None else "; default: %(default)s"),
        )
        parser.add_argument("--seed", type=natural, default=0, help="of folds and bootstrap; default: %(default)s")
        parser.add_argument(
            "--resamples", type=positive, default=self.resamples, help="of the bootstrap; default: %(default)s"
        )
        parser.add_argument("--threads", type=positive, default=1, help="of what is fitted on its answers")

    @abstractmethod
    def find(self, checkpoint: Checkpoint, options: Options, say: Say) -> Findings:
        """What the checkpoint says of the pictures. Raises ``BooruError``."""

    def ask(self, options: Options, say: Say) -> Answer:
        checkpoint = load(options["model"], options["threads"])
        found = self.find(checkpoint, options, say)
        told = bootstrap(found.answers, self.metrics, resamples=options["resamples"], seed=options["seed"])
        lines = [f"{checkpoint.version} on {options['data']}: {len(found.answers)} pictures", *found.notes]
        lines += [f"  {name.replace('_', ' ')}: {value}" for name, value in told.items()]
        figures = plain(self.figures(found, told))
        return Answer(
            figures,
            lines,
            lambda folder: report.write(folder / f"{self.name}.html", self.help, lines, found, figures),
        )

    def figures(self, found: Findings, told: Mapping[str, Interval]) -> Mapping[str, Any]:
        """What ``--json`` writes."""
        return {
            **{name: value.value for name, value in told.items()},
            **found.figures,
            "ci95": {name: value.bounds for name, value in told.items()},
            "pictures": len(found.answers),
            "unreadable": found.unreadable,
            "classes": len(found.answers.classes),
        }


def load(model: str, threads: int) -> Checkpoint:
    """A checkpoint by its folder, or by its name if it ships with the project."""
    from booru_ml.checkpoint import Checkpoint

    try:
        import torch
    except ImportError:  # onnxruntime answers alone; tasks that fit something say what they lack
        pass
    else:
        torch.set_num_threads(threads)
    folder = Path(model)
    if not folder.is_dir() and (SHIPPED / model).is_dir():
        folder = SHIPPED / model
    if not folder.is_dir():
        known = ", ".join(sorted(path.name for path in SHIPPED.iterdir() if path.is_dir()))
        raise InvalidInput(f"{model} is neither a checkpoint folder nor one that ships ({known}).")
    return Checkpoint.load(folder)


def plain(value: Any) -> Any:
    """The value as JSON knows it: four digits, null for what could not be measured."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, float):
        return round(value, 4) if math.isfinite(value) else None
    return value
