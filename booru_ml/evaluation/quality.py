"""``booru_evaluate quality``: grades in order, whether they survive cropping and resizing, and "this is no sketch"."""

from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from booru_ml.errors import InvalidInput
from booru_ml.evaluation import folds as cutting
from booru_ml.evaluation import scores
from booru_ml.evaluation.answers import Answers, Findings, numbered
from booru_ml.evaluation.degrade import GRADES, degrade
from booru_ml.evaluation.grading import LOOKS, Graded, cross_validated, inputs_of, tracked
from booru_ml.evaluation.measured import Measured
from booru_ml.evaluation.pictures import Change, Material, ask, frames_of, gather
from booru_ml.evaluation.task import parts
from booru_ml.nn.survey import read_picture
from booru_ml.training import manifest
from booru_ml.training.views import grey
from booru_ml.types import PixelArray

if TYPE_CHECKING:
    from booru_ml.checkpoint import Checkpoint
    from booru_ml.evaluation.task import Options, Say

NO_SKETCH = "color"
"""What the column ``kind`` calls a picture that is no sketch."""
ORDERS = (
    ("bad", "fair", "good"),
    ("poor", "fair", "good", "excellent"),
    ("poor", "rough", "fine"),
    ("poor", "rough", "sketch", "finished"),
    ("worst", "low", "medium", "high", "best"),
    ("low", "normal", "high"),
)
"""Words of which everybody knows the order, worst first."""
FINISHED = "finished"
"""The grade by which a head says so."""


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
        parser.add_argument("--order", nargs="+", metavar="GRADE", help="the grades in order, if words do not say")
        parser.add_argument("--head", default="quality", help="the checkpoint's head; default: %(default)s")
        parser.add_argument("--group", default="group", help="column of what folds never share; default: %(default)s")
        parser.add_argument(
            "--folds", type=parts, default=5, help="where a head has to be fitted; default: %(default)s"
        )
        parser.add_argument(
            "--fit", action="store_true", help="fit a head even where the checkpoint's knows the grades"
        )
        parser.add_argument("--split", help="only rows of this split, where a manifest has the column")

    def find(self, checkpoint: Checkpoint, options: Options, say: Say) -> Findings:
        known = manifest.columns(options["data"])
        # Only a manifest that says nothing of quality asks for made grades; a column's misspelt name does not.
        ungraded = bool(known) and options["label"] == "quality" and "quality" not in known
        return _spoilt(checkpoint, options, say) if ungraded else _given(checkpoint, options, say)


def _given(checkpoint: Checkpoint, options: Options, say: Say) -> Findings:
    """Grades that stand in the manifest: by the checkpoint's own head if it knows them, else by a fitted one."""
    samples = manifest.read(options["data"], label=options["label"], group=options["group"], split=options["split"])
    material = gather(samples, say)
    head = checkpoint.heads.get(options["head"])
    known = [label.name for label in head.labels] if head and head.scored else []
    if known and set(material.labels) <= set(known) and not options["fit"]:
        order = options["order"] or known
        if [name for name in known if name in order] != order:
            raise InvalidInput(f"The head has {', '.join(known)} in this order; --fit fits one to your --order.")
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
    graded = cross_validated(checkpoint, options, blank, lambda: frames_of(material.samples))
    copies = cutting.near_copies(material.looks, graded.folds, say)
    how = f"graded by a head that was fitted on the other of {options['folds']} folds"
    return _findings(graded, material, how, near_copies=copies)


def _spoilt(checkpoint: Checkpoint, options: Options, say: Say) -> Findings:
    """Grades that were made: every sketch in grey, spoilt by degrees; and, where some are none, which are sketches."""
    weak = "kind" in manifest.columns(options["data"])
    label = "kind" if weak else "character"
    material = gather(manifest.read(options["data"], label=label, group=options["group"], split=options["split"]), say)
    rows = [row for row, one in enumerate(material.samples) if not weak or one.label != NO_SKETCH]
    sketches = [material.samples[row] for row in rows]
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
    graded = cross_validated(checkpoint, options, blank, lambda: map(frame, range(len(every))))
    said = f"{len(sketches)} drawings in grey, spoilt by degrees: the grades are SYNTHETIC, no person gave them"
    copies = cutting.near_copies([material.looks[rows[number]] for number, _ in every], graded.folds, say)
    found = replace(_findings(graded, material, said, synthetic=True, near_copies=copies), frame=frame)
    if not weak or len(sketches) == len(material.samples):
        return found
    figures = _no_sketch(checkpoint, options, material)
    note = "  no sketch, in grey, by weak labels: " + _told(figures)
    return replace(found, figures={**found.figures, "no_sketch": figures}, notes=(*found.notes, note))


def _no_sketch(checkpoint: Checkpoint, options: Options, material: Material) -> dict[str, float]:
    """How well a cross-validated logistic on the same features answers "this is no sketch", pictures in grey."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import roc_auc_score
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    from booru_ml.training.features import Frozen

    truth = np.array([one.label == NO_SKETCH for one in material.samples], np.int64)
    frames = tracked(frames_of(material.samples, grey), len(truth), "in grey")
    rows = Frozen(checkpoint).inputs(frames, inputs_of(checkpoint, options["head"]))
    chance = np.zeros(len(truth))
    for fold in cutting.folds(truth, material.groups, options["folds"], seed=options["seed"]):
        head = make_pipeline(StandardScaler(), LogisticRegression(C=1e-3, max_iter=1000, class_weight="balanced"))
        chance[fold.asked] = head.fit(rows[fold.fitted], truth[fold.fitted]).predict_proba(rows[fold.asked])[:, 1]
    said, none = chance >= 0.5, truth == 1
    figures = {
        "auroc": float(roc_auc_score(truth, chance)),
        "found": float(said[none].mean()),
        "sketches_refused": float(said[~none].mean()),
    }
    own = checkpoint.heads.get(options["head"])
    if own and FINISHED in [label.name for label in own.labels]:
        column = [label.name for label in own.labels].index(FINISHED)
        calm = ask(checkpoint, material.samples, [own.name], change=grey)[own.name][:, column]
        figures["own_head_auroc"] = float(roc_auc_score(truth, calm))
    return figures


def _findings(graded: Graded, material: Material, how: str, **more: Any) -> Findings:
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
    return Findings(whole, len(material.unreadable), figures | more, tuple(notes))


def _binary(answers: Answers) -> dict[str, float]:
    """The figures that are told of two grades; the last one is the class that is looked for."""
    from sklearn.metrics import precision_score, recall_score, roc_auc_score

    both = len(set(answers.truth.tolist())) == 2
    return {
        "precision": float(precision_score(answers.truth, answers.said, zero_division=0)),
        "recall": float(recall_score(answers.truth, answers.said, zero_division=0)),
        "auroc": float(roc_auc_score(answers.truth, answers.chances[:, 1])) if both else float("nan"),
    }


def _order(found: Sequence[str], known: Sequence[str], given: Sequence[str] | None) -> tuple[str, ...]:
    """The grades in order: as ``given``, as the checkpoint's head or everybody has them, or by number.

    Raises ``InvalidInput``.
    """
    if given or set(found) <= set(known):
        return tuple(name for name in given or known if name in found or given)
    for words in ORDERS:
        if {name.lower() for name in found} <= set(words):
            return tuple(sorted(found, key=lambda name: words.index(name.lower())))
    try:
        return tuple(sorted(found, key=float))
    except ValueError:
        if len(found) == 2:
            return tuple(found)
        raise InvalidInput(f"Say in which --order the grades stand: {', '.join(found[:10])}.") from None


def _told(figures: Mapping[str, float]) -> str:
    return ", ".join(f"{name.replace('_', ' ')} {value:.3f}" for name, value in figures.items())
