"""``booru_evaluate characters``: who is shown, among the classes that were learned (the closed set)."""

from __future__ import annotations

import math
from argparse import ArgumentParser
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from booru_ml.checkpoint.heads import HeadKind
from booru_ml.errors import InvalidInput
from booru_ml.evaluation import folds as cutting
from booru_ml.evaluation import linear, scores, softmax
from booru_ml.evaluation.answers import Answers, Findings, Index, numbered
from booru_ml.evaluation.measured import Measured
from booru_ml.evaluation.pictures import Material, ask, gather
from booru_ml.evaluation.task import parts, positive
from booru_ml.training import manifest
from booru_ml.training.manifest import Sample

if TYPE_CHECKING:
    from collections.abc import Sequence

    from booru_ml.checkpoint import Checkpoint
    from booru_ml.evaluation.task import Options, Say

UNSPLIT = "  All pictures are asked about, as none has split test: what taught the head flatters it."
RULES = {"mean": linear.nearest_mean, "linear": linear.learned}


class Characters(Measured):
    name = "characters"
    help = "who is shown, among known characters: by the checkpoint's own head, or learned on its embeddings"
    metrics = scores.CLOSED_SET

    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("--label", default="character", help="manifest column of the classes; default: %(default)s")
        parser.add_argument("--group", default="group", help="column of what sides never share; default: %(default)s")
        parser.add_argument("--head", help="the checkpoint's softmax head; default: one that knows the classes, if any")
        parser.add_argument(
            "--rule",
            choices=RULES,
            default="mean",
            help="without such a head: nearest class mean, or a linear classifier",
        )
        parser.add_argument(
            "--least", type=positive, default=2, help="pictures of a class (DAF:re asks for 20); default: 2"
        )
        parser.add_argument(
            "--most",
            type=positive,
            help="pictures of a class to learn from; no others are read than it takes to do so. Default: all",
        )
        parser.add_argument(
            "--folds", type=parts, default=5, help="where the manifest has no split; default: %(default)s"
        )
        parser.add_argument(
            "--calibration",
            choices=("auto", *softmax.WAYS),
            default="auto",
            help="found on split val; auto: what is likelier on parts of val that it was not found on",
        )
        parser.add_argument("--store", action="store_true", help="keep the calibration in the checkpoint")

    def find(self, checkpoint: Checkpoint, options: Options, say: Say) -> Findings:
        listed = manifest.read(options["data"], label=options["label"], group=options["group"])
        samples = manifest.at_least(listed, options["least"])
        head = _head(checkpoint, options["head"], {sample.label for sample in samples})
        if options["store"] and not head:
            raise InvalidInput(f"{checkpoint.name} has no softmax head that knows these classes, so none to store in.")
        _check_classes(samples, options)
        if options["most"] is not None and head:
            raise InvalidInput(f"Head {head} of {checkpoint.name} has learned these classes already; leave out --most.")
        material = gather(samples, say) if head or options["most"] is None else _few(samples, say, options)
        _check_classes(material.samples, options)
        asked = (material, options, say)
        return _by_head(checkpoint, head, *asked) if head else _by_embedding(checkpoint, *asked)


def _check_classes(samples: Sequence[Sample], options: Options) -> None:
    if len({sample.label for sample in samples}) < 2:
        raise InvalidInput(f"{options['data']} holds fewer than two classes of {options['least']} pictures.")


def _few(samples: Sequence[Sample], say: Say, options: Options) -> Material:
    """No more pictures than it takes to learn from ``--most`` of each class: a folder may hold a hundred thousand.

    With a split these are the first of train, and all of test. Without one, as many as leave that number outside of a
    fold, out of as many groups as there are, since folds share none.
    """
    most, folds = options["most"], options["folds"]
    if {"train", "test"} <= {sample.split for sample in samples}:
        asked = [sample for sample in samples if sample.split in ("train", "test")]
        return gather(asked, say, lambda sample: most if sample.split == "train" else None)
    turn: Counter[tuple[str, str]] = Counter()
    dealt = []
    for sample in samples:
        dealt.append((turn[sample.label, sample.group], replace(sample, split="")))
        turn[sample.label, sample.group] += 1
    dealt.sort(key=lambda one: one[0])  # the first of each group, then the second of each
    return gather([sample for _, sample in dealt], say, lambda _: math.ceil(most * folds / max(1, folds - 1)))


def _by_head(checkpoint: Checkpoint, head: str, material: Material, options: Options, say: Say) -> Findings:
    classes = tuple(label.name for label in checkpoint.heads[head].labels)
    truth = numbered(material.labels, classes, f"Head {head}")
    tested, tuned = material.of("test"), material.of("val")
    asked = tested if len(tested) else np.arange(len(truth))
    said = ask(checkpoint, [material.samples[row] for row in asked], [head])[head].astype(np.float64)
    near = cutting.nearest_other(material.pixels, material.groups)
    answers = _answers(classes, material, truth, asked, said)
    answers = replace(answers, floor=truth[near[asked]] == truth[asked])
    figures: dict[str, Any] = {"pixel_1nn": scores.floor(answers)}
    notes = [
        f"by the checkpoint's own head {head}",
        *([] if len(tested) else [UNSPLIT]),
        f"  nearest other picture at 16×16 pixels: {scores.floor(answers):.3f}",
    ]
    if len(tested):
        figures |= _shared(material, tested, say)
    if len(tuned) and len(tested):
        more, told = _calibration(checkpoint, head, material, truth, tuned, answers, asked, options)
        figures, notes = figures | more, notes + told
    elif options["store"]:
        raise InvalidInput("A calibration is found on split val and tested on split test; the manifest lacks them.")
    return Findings(answers, len(material.unreadable), figures, tuple(notes))


def _shared(material: Material, tested: Index, say: Say) -> dict[str, int]:
    """What split test has in common with the splits that a head may have been taught by."""
    taught = np.setdiff1d(np.arange(len(material.samples)), tested)
    both = np.intersect1d(material.groups[taught], material.groups[tested])
    if len(both):
        say(f"Leak: {len(both)} groups of split test stand in other splits, too, as {str(both[0])!r}: this flatters.")
    return {
        "shared_groups": len(both),
        "near_copies": cutting.near_copies(material.looks, [cutting.Fold(taught, tested)], say),
    }


def _calibration(
    checkpoint: Checkpoint,
    head: str,
    material: Material,
    truth: Index,
    tuned: Index,
    answers: Answers,
    asked: Index,
    options: Options,
) -> tuple[dict[str, Any], list[str]]:
    """Figures and notes of each way, found on the rows ``tuned`` and tested on those ``asked``; one may be stored."""
    bare = replace(checkpoint, calibration={})  # found anew, whatever curve is kept by now
    found, raw = (
        ask(bare, [material.samples[row] for row in rows], [head])[head].astype(np.float64) for rows in (tuned, asked)
    )
    ways = {name: way.fit(found, truth[tuned]) for name, way in softmax.WAYS.items()}
    losses = softmax.cross_validate(found, truth[tuned], material.groups[tuned], seed=options["seed"])
    wanted = options["calibration"]
    chosen = min(losses, key=lambda name: losses[name]) if wanted == "auto" else wanted
    errors = {name: scores.ece(answers.saying(way(raw))) for name, way in ways.items()}
    figures = {
        "calibration": chosen,
        "ece_calibrated": errors[chosen],
        **ways["temperature"].told,
        "calibrations": {name: {"nll_val": losses[name], "ece": errors[name], **ways[name].told} for name in ways},
    }
    notes = [
        f"  {name}{' (chosen)' if name == chosen else ''}: ece {errors[name]:.3f}; unseen parts of split val have "
        f"a negative log-likelihood of {losses[name]:.3f}"
        for name in ways
    ]
    if options["store"]:
        written = ways[chosen].store(checkpoint, head)
        notes.append(f"  kept in {written.path}, which is {written.version} now")
    return figures, notes


def _by_embedding(checkpoint: Checkpoint, material: Material, options: Options, say: Say) -> Findings:
    head = next((one.name for one in checkpoint.heads.values() if one.kind is HeadKind.EMBEDDING), None)
    if head is None:
        raise InvalidInput(f"{checkpoint.name} has neither an embedding nor a softmax head that knows these classes.")
    classes = tuple(sorted(set(material.labels)))
    truth = numbered(material.labels, classes, "The set")
    cut = _cut(material, truth, options)
    rows = ask(checkpoint, material.samples, [head])[head]
    asked = np.concatenate([fold.asked for fold in cut])
    said = [RULES[options["rule"]](rows, truth, material.groups, fold, seed=options["seed"]) for fold in cut]
    answers = _answers(classes, material, truth, asked, np.concatenate(said))
    floor = np.concatenate([cutting.nearest(material.pixels, truth, fold) for fold in cut])
    answers = replace(answers, floor=floor)
    learned = np.concatenate([np.bincount(truth[fold.fitted])[truth[fold.asked]] for fold in cut])
    shots = scores.by_shots(answers, learned)
    sizes = [len(fold.fitted) for fold in cut]
    span = "–".join(str(size) for size in dict.fromkeys((min(sizes), max(sizes))))
    notes = [
        f"learned from {span} pictures by {options['rule']}",
        f"  nearest learned picture at 16×16 pixels: {scores.floor(answers):.3f}",
        *(f"  {name}-shot: {part['balanced_top1']:.3f} of {part['classes']} classes" for name, part in shots.items()),
    ]
    figures = {
        "pixel_1nn": scores.floor(answers),
        "by_shots": shots,
        "near_copies": cutting.near_copies(material.looks, cut, say),
    }
    return Findings(answers, len(material.unreadable), figures, tuple(notes))


def _cut(material: Material, truth: Index, options: Options) -> list[cutting.Fold]:
    """The manifest's own split, or folds. Raises ``InvalidInput`` where a group stands on both sides."""
    fitted, asked = material.of("train"), material.of("test")
    if not len(fitted) or not len(asked):
        cut = cutting.folds(truth, material.groups, options["folds"], seed=options["seed"])
    else:
        cut = [cutting.Fold(fitted, asked)]
    cut = [cutting.Fold(_first(fold.fitted, truth, options["most"]), fold.asked) for fold in cut]
    for fold in cut:
        cutting.check(material.groups, fold)
        if strange := set(truth[fold.asked].tolist()) - set(truth[fold.fitted].tolist()):
            raise InvalidInput(f"{len(strange)} classes of split test are not in split train; they cannot be known.")
        if np.bincount(truth[fold.fitted]).max() < 2:
            raise InvalidInput(
                "There is one picture of each class to learn from, and how sure an answer is takes a second one to "
                "find out: ask with --most 2 or more. What one picture teaches is measured by booru_evaluate fewshot "
                "--shots 1."
            )
    return cut


def _first(rows: Index, truth: Index, most: int | None) -> Index:
    """Up to ``most`` rows of each class."""
    if most is None:
        return rows
    seen: Counter[int] = Counter()
    kept = []
    for row in rows.tolist():
        seen[int(truth[row])] += 1
        if seen[int(truth[row])] <= most:
            kept.append(row)
    return np.array(kept, np.int64)


def _head(checkpoint: Checkpoint, asked: str | None, labels: set[str]) -> str | None:
    """The softmax head that knows all ``labels``; None where there is none and none was asked for."""
    if asked is not None:
        if asked not in checkpoint.heads or checkpoint.heads[asked].kind is not HeadKind.SOFTMAX:
            raise InvalidInput(f"{checkpoint.name} has no softmax head {asked!r}.")
        return asked
    softmax = (one for one in checkpoint.heads.values() if one.kind is HeadKind.SOFTMAX)
    return next((one.name for one in softmax if labels <= {label.name for label in one.labels}), None)


def _answers(classes: tuple[str, ...], material: Material, truth: Index, asked: Index, said: Any) -> Answers:
    paths = tuple(material.samples[row].path for row in asked)
    return Answers(classes, paths, material.groups[asked], truth[asked], said)
