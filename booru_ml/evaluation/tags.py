"""``booru_evaluate tags``: any number of tags a picture, and the scores from which they count."""

from __future__ import annotations

from argparse import ArgumentParser
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from booru_ml.checkpoint.heads import HeadKind
from booru_ml.errors import InvalidInput
from booru_ml.evaluation import calibration, scores
from booru_ml.evaluation.answers import Answers, Findings, Table
from booru_ml.evaluation.folds import nearest_other
from booru_ml.evaluation.measured import Measured
from booru_ml.evaluation.pictures import ask, gather
from booru_ml.evaluation.task import positive
from booru_ml.training import manifest
from booru_ml.training.tasks import Marks, judged, known, settled, tag

if TYPE_CHECKING:
    from booru_ml.checkpoint import Checkpoint
    from booru_ml.evaluation.task import Options, Say

USUAL = 0.5


class Tags(Measured):
    name = "tags"
    help = "how well a tagger's tags are those of the pictures, and from which scores they should count"
    metrics = scores.TAGS
    model = None
    resamples = 200  # average precision sorts every tag's scores anew for each

    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("--label", default="tags", help="manifest column, tags by spaces; default: %(default)s")
        parser.add_argument("--head", default="tags", help="the checkpoint's sigmoid head; default: %(default)s")
        parser.add_argument(
            "--least", type=positive, default=1, help="pictures that a tag must have to count; default: 1"
        )
        parser.add_argument("--split", help="only rows of this split; where there is one, use another for --store")
        parser.add_argument(
            "--choose", choices=("f1", "precision"), default="f1", help="what per-tag thresholds are for; default: f1"
        )
        parser.add_argument("--precision", type=float, default=0.9, help="of --choose precision; default: %(default)s")
        parser.add_argument(
            "--calibrate",
            action="store_true",
            help="find a rising curve from scores to probabilities (isotonic), the same for all tags",
        )
        parser.add_argument(
            "--store", action="store_true", help="write per-tag thresholds, and the curve, into the checkpoint"
        )

    def find(self, checkpoint: Checkpoint, options: Options, say: Say) -> Findings:
        if not 0 < options["precision"] <= 1:
            raise InvalidInput(f"--precision lies above 0 and at most at 1, not {options['precision']:g}.")
        head = options["head"]
        if head not in checkpoint.heads or checkpoint.heads[head].kind is not HeadKind.SIGMOID:
            raise InvalidInput(f"{checkpoint.name} has no head {head!r} that gives each tag a probability of its own.")
        samples = manifest.read(options["data"], label=options["label"], split=options["split"], several=True)
        material = gather(samples, say)
        place = {label.name: number for number, label in enumerate(checkpoint.heads[head].labels)}
        truth = np.zeros((len(material.samples), len(place)), np.int64)
        unknown: set[str] = set()
        for row, sample in enumerate(material.samples):
            carried = {tag(text).name for text in sample.labels}
            unknown |= carried - place.keys()
            truth[row, [place[name] for name in carried if name in place]] = 1
        kept = np.flatnonzero(truth.sum(axis=0) >= options["least"])
        if not len(kept):
            raise InvalidInput(f"No tag of {options['data']} is one that {checkpoint.name} knows and frequent enough.")
        names = list(place)
        classes = tuple(names[number] for number in kept)
        decided = known(material.samples, classes, judged(material.samples))
        chances = settled(ask(checkpoint, material.samples, [head])[head][:, kept], decided).astype(np.float64)
        given = checkpoint.thresholds.get(head, {})
        limits = np.array([given.get(name, USUAL) for name in classes])
        paths = tuple(sample.path for sample in material.samples)
        answers = Answers(classes, paths, material.groups, truth[:, kept], chances, limits=limits)
        equal = calibration.equal_error(answers.truth.astype(bool), chances)
        held_out = _held_out(answers, options)
        near = answers.truth[nearest_other(material.pixels, material.groups)].astype(np.float32)
        figures: dict[str, Any] = {
            "p_equals_r_threshold": equal,
            "p_equals_r_f1": scores.micro_f1(replace(answers, limits=np.full(len(classes), equal))),
            "per_tag_thresholds_macro_f1": scores.macro_f1(held_out),
            "per_tag_thresholds_micro_f1": scores.micro_f1(held_out),
            "pixel_1nn": scores.micro_f1(answers.saying(settled(near, decided).astype(np.float64))),
            "unknown_tags": len(unknown),
        }
        notes = [
            f"{len(classes)} tags; {len(unknown)} that the pictures have are unknown to the model",
            *([] if decided is None else [f"  nobody decided about {1 - decided.mean():.0%} of the marks: left out"]),
            f"  precision = recall at {equal:.4f}, F1 {figures['p_equals_r_f1']:.3f}",
            f"  thresholds of each tag, found on half of the groups, on the other half: macro-F1 "
            f"{scores.macro_f1(held_out):.3f}, micro-F1 {scores.micro_f1(held_out):.3f}",
            f"  tags of the nearest other picture at 16×16 pixels, micro-F1: {figures['pixel_1nn']:.3f}",
        ]
        calm = answers
        if options["calibrate"]:
            bare = replace(checkpoint, calibration={})  # found anew, whatever curve is kept by now
            raw = answers.saying(ask(bare, material.samples, [head])[head][:, kept].astype(np.float64))
            marks = np.ones(raw.chances.shape, bool) if decided is None else decided
            figures["calibration"] = _tested(raw, marks, options)
            told = ", ".join(f"{name.replace('_', ' ')} {value:.4f}" for name, value in figures["calibration"].items())
            notes.append(f"  by a curve that was found on half of the groups, on the other half: {told}")
            if figures["calibration"]["nll_calibrated"] >= figures["calibration"]["nll"]:
                notes.append("  so the curve is not kept: these pictures are too few, or it is calibrated already")
            elif options["store"]:
                curve = calibration.isotonic(raw.chances[marks], raw.truth[marks] > 0)
                checkpoint = calibration.store_curve(checkpoint, head, curve)
                calm = raw.saying(np.where(marks, np.interp(raw.chances, *curve), 0.0))
        if options["store"]:
            best = _chosen(calm, options["choose"], options["precision"])
            found = {name: float(value) for name, value in zip(classes, best, strict=True) if np.isfinite(value)}
            path = calibration.store_thresholds(checkpoint, head, found)
            notes.append(f"  {len(found)} thresholds written into {path}; the checkpoint's version is another one now")
        return Findings(answers, len(material.unreadable), figures, tuple(notes))


def _chosen(answers: Answers, choose: str, precision: float) -> Table:
    """The score from which each class counts; nan where the pictures do not say."""
    columns = zip(answers.truth.T.astype(bool), answers.chances.T, strict=True)
    found = [
        calibration.best_f1(true, said) if choose == "f1" else calibration.at_precision(true, said, precision)
        for true, said in columns
    ]
    return np.array([np.nan if value is None else value for value in found])


def _tested(raw: Answers, marks: Marks, options: Options) -> dict[str, float]:
    """What a curve makes of the half of the groups that it was not found on, mark by mark."""
    inside = _half(raw, options)
    curve = calibration.isotonic(raw.chances[inside][marks[inside]], raw.truth[inside][marks[inside]] > 0)
    before, true = raw.chances[~inside][marks[~inside]], raw.truth[~inside][marks[~inside]] > 0
    after = np.interp(before, *curve)
    return {
        "nll": calibration.surprise(before, true),
        "nll_calibrated": calibration.surprise(after, true),
        "ece": scores.calibration_error(before, true),
        "ece_calibrated": scores.calibration_error(after, true),
    }


def _half(answers: Answers, options: Options) -> Marks:
    """Rows of half of the groups. Raises ``InvalidInput``."""
    names = np.unique(answers.groups)
    if len(names) < 2:
        raise InvalidInput("Choosing thresholds needs pictures of two groups or more.")
    some = np.random.default_rng(options["seed"]).permutation(names)[: len(names) // 2]
    return np.isin(answers.groups, some)


def _held_out(answers: Answers, options: Options) -> Answers:
    """The half of the groups that thresholds were not chosen on, with those thresholds."""
    inside = _half(answers, options)
    chosen = _chosen(answers.take(np.flatnonzero(inside)), options["choose"], options["precision"])
    limits = np.where(np.isfinite(chosen), chosen, USUAL if answers.limits is None else answers.limits)
    return replace(answers.take(np.flatnonzero(~inside)), limits=limits)
