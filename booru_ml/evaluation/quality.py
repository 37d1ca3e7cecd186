"""``booru_evaluate quality``: grades in order, whether they survive cropping and resizing, and "this is no sketch"."""

from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from booru_ml.errors import InvalidInput
from booru_ml.evaluation import folds as cutting
from booru_ml.evaluation import scores
from booru_ml.evaluation.answers import Answers, numbered
from booru_ml.evaluation.degrade import GRADES, degrade
from booru_ml.evaluation.measured import Findings, Measured
from booru_ml.evaluation.pictures import Material, ask, columns, frames_of, gather, keep_pixels
from booru_ml.nn.survey import read_picture
from booru_ml.progress import track
from booru_ml.training import manifest
from booru_ml.types import FloatArray, PixelArray

if TYPE_CHECKING:
    from booru_ml.checkpoint import Checkpoint
    from booru_ml.evaluation.task import Options, Say

RIDGE = 1e-3
NO_SKETCH = "color"
"""What the column ``kind`` calls a picture that is no sketch."""

Change = Callable[[PixelArray], PixelArray]


def _middle(frame: PixelArray) -> PixelArray:
    height, width = frame.shape[:2]
    return frame[height // 10 : height - height // 10, width // 10 : width - width // 10]


def _half(frame: PixelArray) -> PixelArray:
    image = Image.fromarray(frame)
    return np.asarray(image.resize((max(1, image.width // 2), max(1, image.height // 2)), Image.Resampling.BOX))


LOOKS: Mapping[str, Change] = {"middle 80 %": _middle, "half size": _half}
"""Looks at which a grade should stay what it is."""


@dataclass(frozen=True, slots=True, eq=False)
class Graded:
    """Answers to the pictures as they are, and to each look at them."""

    whole: Answers
    looks: Mapping[str, Answers]


class Quality(Measured):
    name = "quality"
    help = "how well a drawing is graded, by the checkpoint's own head or by one that is cross-validated"
    metrics = scores.ORDINAL

    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        parser.add_argument(
            "--label",
            default="quality",
            help="manifest column of the grades; without it, drawings are spoilt by degrees (synthetic grades); "
            "default: %(default)s",
        )
        parser.add_argument("--order", nargs="+", metavar="GRADE", help="the grades in order, where they are words")
        parser.add_argument("--head", default="quality", help="the checkpoint's head; default: %(default)s")
        parser.add_argument("--folds", type=int, default=5, help="where a head has to be fitted; default: %(default)s")
        parser.add_argument(
            "--fit", action="store_true", help="fit a head even where the checkpoint's knows the grades"
        )
        parser.add_argument("--split", help="only rows of this split, where a manifest has the column")

    def find(self, checkpoint: Checkpoint, options: Options, say: Say) -> Findings:
        graded = options["label"] in columns(options["data"])
        return _given(checkpoint, options, say) if graded else _spoilt(checkpoint, options, say)


def _given(checkpoint: Checkpoint, options: Options, say: Say) -> Findings:
    """Grades that stand in the manifest: by the checkpoint's own head if it knows them, else by a fitted one."""
    samples = manifest.read(options["data"], label=options["label"], split=options["split"])
    material = gather(samples, say)
    head = checkpoint.heads.get(options["head"])
    known = [label.name for label in head.labels] if head and head.scored else []
    if known and set(material.labels) <= set(known) and not options["fit"]:
        truth = numbered(material.labels, known, options["head"])
        paths = tuple(sample.path for sample in material.samples)
        floor = truth[cutting.nearest_other(material.pixels, material.groups)] == truth

        def answers(change: Change | None) -> Answers:
            said = ask(checkpoint, material.samples, [options["head"]], change=change)[options["head"]]
            return Answers(tuple(known), paths, material.groups, truth, said.astype(np.float64), floor)

        graded = Graded(answers(None), {name: answers(change) for name, change in LOOKS.items()})
        return _findings(graded, material, f"graded by the checkpoint's own head {options['head']}")
    order = _order(sorted(set(material.labels)), known, options["order"])
    truth = numbered(material.labels, order, "--order")
    paths = tuple(sample.path for sample in material.samples)
    blank = Answers(order, paths, material.groups, truth, np.zeros((len(truth), len(order))))
    graded = _cross_validated(checkpoint, options, blank, lambda: frames_of(material.samples))
    return _findings(graded, material, f"graded by a head that was fitted on the other of {options['folds']} folds")


def _spoilt(checkpoint: Checkpoint, options: Options, say: Say) -> Findings:
    """Grades that were made: every sketch in grey, spoilt by degrees; and, where some are none, which are sketches."""
    weak = "kind" in columns(options["data"])
    label = "kind" if weak else "character"
    material = gather(manifest.read(options["data"], label=label, split=options["split"]), say)
    sketches = [one for one in material.samples if not weak or one.label != NO_SKETCH]
    if len(sketches) < 2:
        raise InvalidInput(f"{options['data']}: kind calls all pictures {NO_SKETCH}; none is left to be graded.")
    every = [(number, grade) for number in range(len(sketches)) for grade in range(len(GRADES))]

    def frame(row: int) -> PixelArray:
        number, grade = every[row]
        picture = read_picture(sketches[number].path)
        return degrade(picture, grade, np.random.default_rng((options["seed"], number)))

    truth = np.array([grade for _, grade in every])
    groups = np.array([sketches[number].group for number, _ in every])
    paths = tuple(sketches[number].path for number, _ in every)
    blank = Answers(GRADES, paths, groups, truth, np.zeros((len(truth), len(GRADES))))
    graded = _cross_validated(checkpoint, options, blank, lambda: map(frame, range(len(every))))
    said = f"{len(sketches)} drawings in grey, spoilt by degrees: the grades are SYNTHETIC, no person gave them"
    found = replace(_findings(graded, material, said), frame=frame)
    found = replace(found, figures={**found.figures, "synthetic": True})
    if not weak or len(sketches) == len(material.samples):
        return found
    figures = _no_sketch(checkpoint, options, material)
    note = "  no sketch, in grey, by weak labels: " + _told(figures)
    return replace(found, figures={**found.figures, "no_sketch": figures}, notes=(*found.notes, note))


def _cross_validated(
    checkpoint: Checkpoint, options: Options, blank: Answers, frames: Callable[[], Iterable[PixelArray]]
) -> Graded:
    """Answers of ordinal heads on frozen features, each fitted on other groups: on pictures as they are and looked at
    otherwise, so that framing and size are no evidence."""
    from booru_ml.training.features import Frozen
    from booru_ml.training.ordinal import fit

    cut = cutting.folds(blank.truth, blank.groups, options["folds"], seed=options["seed"])
    frozen = Frozen(checkpoint)
    small: list[FloatArray] = []
    inputs = _inputs(checkpoint, options["head"])
    whole = frozen.inputs(_tracked(keep_pixels(frames(), small), len(blank), "as they are"), inputs)
    looks = {
        name: frozen.inputs(_tracked(map(change, frames()), len(blank), name), inputs) for name, change in LOOKS.items()
    }
    said = {name: np.zeros_like(blank.chances) for name in ("", *looks)}
    floor = np.zeros(len(blank), bool)
    for fold in cut:
        rows = np.concatenate([table[fold.fitted] for table in (whole, *looks.values())])
        grades = np.tile(blank.truth[fold.fitted], 1 + len(looks))
        head = fit(rows, grades, count=len(blank.classes), ridge=RIDGE)
        for name, table in {"": whole, **looks}.items():
            said[name][fold.asked] = head.probabilities(table[fold.asked])
        floor[fold.asked] = cutting.nearest(np.stack(small), blank.truth, fold)
    answers = {name: replace(blank, chances=chances, floor=floor) for name, chances in said.items()}
    return Graded(answers.pop(""), answers)


def _no_sketch(checkpoint: Checkpoint, options: Options, material: Material) -> dict[str, float]:
    """How well a cross-validated logistic on the same features answers "this is no sketch", pictures in grey."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import roc_auc_score
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    from booru_ml.training.features import Frozen

    truth = np.array([one.label == NO_SKETCH for one in material.samples], np.int64)
    grey = (degrade(frame, 0, np.random.default_rng(0)) for frame in frames_of(material.samples))
    rows = Frozen(checkpoint).inputs(_tracked(grey, len(truth), "in grey"), _inputs(checkpoint, options["head"]))
    chance = np.zeros(len(truth))
    for fold in cutting.folds(truth, material.groups, options["folds"], seed=options["seed"]):
        head = make_pipeline(StandardScaler(), LogisticRegression(C=1e-3, max_iter=1000, class_weight="balanced"))
        chance[fold.asked] = head.fit(rows[fold.fitted], truth[fold.fitted]).predict_proba(rows[fold.asked])[:, 1]
    said, none = chance >= 0.5, truth == 1
    return {
        "auroc": float(roc_auc_score(truth, chance)),
        "found": float(said[none].mean()),
        "sketches_refused": float(said[~none].mean()),
    }


def _findings(graded: Graded, material: Material, how: str) -> Findings:
    whole = graded.whole
    steady = {
        name: {
            "same_grade": float((other.said == whole.said).mean()),
            "moved_by": float(np.abs(other.expected - whole.expected).mean()),
            "qwk": scores.qwk(other),
        }
        for name, other in graded.looks.items()
    }
    notes = [how, *(f"  {name}: {_told(figures)}" for name, figures in steady.items())]
    notes.append(f"  nearest picture at 16×16 pixels, accuracy: {scores.floor(whole):.3f}")
    figures: dict[str, Any] = {"invariance": steady, "grades": list(whole.classes), "pixel_1nn": scores.floor(whole)}
    if len(whole.classes) == 2:
        figures["binary"] = _binary(whole)
        notes.append("  as two classes: " + _told(figures["binary"]))
    return Findings(whole, len(material.unreadable), figures, tuple(notes))


def _binary(answers: Answers) -> dict[str, float]:
    """The figures that are told of two grades; the last one is the class that is looked for."""
    from sklearn.metrics import precision_score, recall_score, roc_auc_score

    both = len(set(answers.truth.tolist())) == 2
    return {
        "precision": float(precision_score(answers.truth, answers.said, zero_division=0)),
        "recall": float(recall_score(answers.truth, answers.said, zero_division=0)),
        "auroc": float(roc_auc_score(answers.truth, answers.chances[:, 1])) if both else float("nan"),
    }


def _inputs(checkpoint: Checkpoint, head: str) -> tuple[str, ...]:
    """What the checkpoint's own head sees, else the pooled features."""
    declared = checkpoint.heads.get(head)
    return declared.inputs if declared and declared.scored and not declared.source else ("pooled",)


def _order(found: Sequence[str], known: Sequence[str], given: Sequence[str] | None) -> tuple[str, ...]:
    """The grades in order: as ``given``, by number, or as the checkpoint's head has them. Raises ``InvalidInput``."""
    if given or set(found) <= set(known):
        return tuple(name for name in given or known if name in found or given)
    try:
        return tuple(sorted(found, key=float))
    except ValueError:
        if len(found) == 2:
            return tuple(found)
        raise InvalidInput(f"Say in which --order the grades stand: {', '.join(found[:10])}.") from None


def _tracked(frames: Iterable[PixelArray], total: int, what: str) -> Iterator[PixelArray]:
    return track(frames, f"Looking, {what}", total=total)


def _told(figures: Mapping[str, float]) -> str:
    return ", ".join(f"{name.replace('_', ' ')} {value:.3f}" for name, value in figures.items())
