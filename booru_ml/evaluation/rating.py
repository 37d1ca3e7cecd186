"""``booru_evaluate rating``: general, sensitive, questionable, explicit, as grades in order."""

from __future__ import annotations

from argparse import ArgumentParser
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from booru_ml.errors import InvalidInput
from booru_ml.evaluation import scores
from booru_ml.evaluation.answers import Answers, Findings
from booru_ml.evaluation.folds import nearest_other
from booru_ml.evaluation.measured import Measured
from booru_ml.evaluation.pictures import ask, gather
from booru_ml.training import manifest
from booru_ml.training.tasks import rated
from booru_ml.types import Rating

if TYPE_CHECKING:
    from booru_ml.checkpoint import Checkpoint
    from booru_ml.evaluation.task import Options, Say

ORDER = tuple(rating.value for rating in Rating)


class RatingTask(Measured):
    name = "rating"
    help = "ratings as grades in order: general, sensitive, questionable, explicit"
    metrics = scores.ORDINAL
    model = "nsfwjs"

    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        parser.add_argument(
            "--label", default="rating", help="manifest column (g s q e or words); default: %(default)s"
        )
        parser.add_argument("--head", default="rating", help="the checkpoint's head; default: %(default)s")
        parser.add_argument("--split", help="only rows of this split, where a manifest has the column")

    def find(self, checkpoint: Checkpoint, options: Options, say: Say) -> Findings:
        head = options["head"]
        labels = [label.name for label in checkpoint.heads[head].labels] if head in checkpoint.heads else []
        if not labels or not set(labels) <= set(ORDER):
            raise InvalidInput(f"{checkpoint.name} has no head {head!r} with the labels {', '.join(ORDER)}.")
        material = gather(manifest.read(options["data"], label=options["label"], split=options["split"]), say)
        truth = np.array([ORDER.index(rated(label)) for label in material.labels])
        said = ask(checkpoint, material.samples, [head])[head].astype(np.float64)
        chances = np.zeros((len(truth), len(ORDER)))
        chances[:, [ORDER.index(name) for name in labels]] = said
        # Some networks give each rating a probability of its own.
        chances /= np.maximum(chances.sum(axis=1, keepdims=True), 1e-12)
        paths = tuple(sample.path for sample in material.samples)
        answers = Answers(ORDER, paths, material.groups, truth, chances)
        near = nearest_other(material.pixels, material.groups)
        answers = replace(answers, floor=truth[near] == truth)
        note = f"  nearest other picture at 16×16 pixels, accuracy: {scores.floor(answers):.3f}"
        return Findings(answers, len(material.unreadable), {"pixel_1nn": scores.floor(answers)}, (note,))
