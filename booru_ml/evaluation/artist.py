"""``booru_evaluate artist``: who drew it, asked about characters that were not shown, by a head on frozen features."""

from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import numpy as np

from booru_ml.checkpoint.heads import Statistic
from booru_ml.errors import CheckpointError, InvalidInput
from booru_ml.evaluation import folds as cutting
from booru_ml.evaluation import scores
from booru_ml.evaluation.answers import Answers, Findings, Table
from booru_ml.evaluation.intervals import Interval
from booru_ml.evaluation.linear import learned
from booru_ml.evaluation.measured import Measured
from booru_ml.evaluation.pictures import frames_of, gather
from booru_ml.evaluation.task import parts
from booru_ml.progress import track
from booru_ml.training import manifest
from booru_ml.types import FloatArray

if TYPE_CHECKING:
    from booru_ml.checkpoint import Checkpoint
    from booru_ml.evaluation.task import Options, Say
    from booru_ml.training.manifest import Sample

STRIDES = (8, 16)


class Artist(Measured):
    name = "artist"
    help = "who drew it, by a head on frozen features; no character is asked about that was shown"
    metrics = scores.ARTIST

    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("--label", default="artist", help="manifest column of the artists; default: %(default)s")
        parser.add_argument(
            "--group",
            metavar="COLUMN",
            help="manifest column of what folds never share; default: character, where there is none group",
        )
        parser.add_argument("--folds", type=parts, default=5, help="default: %(default)s")

    def find(self, checkpoint: Checkpoint, options: Options, say: Say) -> Findings:
        samples = _samples(options, say)
        material = gather(samples, say)
        classes = tuple(sorted(set(material.labels)))
        truth = np.array([classes.index(label) for label in material.labels])
        cut = cutting.folds(truth, material.groups, options["folds"], seed=options["seed"])
        rows = drawn(checkpoint, material.samples)
        chances = np.zeros((len(truth), len(classes)))
        floor = np.zeros(len(truth), bool)
        for fold in cut:
            chances[fold.asked] = learned(rows, truth, material.groups, fold, seed=options["seed"])
            floor[fold.asked] = cutting.nearest(material.pixels, truth, fold)
        paths = tuple(sample.path for sample in material.samples)
        answers = Answers(classes, paths, material.groups, truth, chances, floor)
        pairs = scores.pairwise(answers)
        disjoint = not any(map(_alone, material.samples))
        figures = {
            "pair_auc": float(np.nanmean(pairs)),
            "pixel_1nn": scores.floor(answers),
            "content_disjoint": disjoint,
            "near_copies": cutting.near_copies(material.looks, cut, say),
        }
        shared = f"share none of {len(set(material.groups))} groups (checked)" if disjoint else "may share characters"
        return Findings(
            answers,
            len(material.unreadable),
            figures,
            (
                f"{len(cut)} folds that {shared}",
                f"  nearest picture at 16×16 pixels: {scores.floor(answers):.3f}",
                f"  area under the ROC of two artists, mean of all pairs: {np.nanmean(pairs):.3f}; "
                + _extremes(classes, pairs),
            ),
            pairs={"Two artists at a time: area under the ROC": pairs},
        )

    def figures(self, found: Findings, told: Mapping[str, Interval]) -> Mapping[str, Any]:
        return {
            "classes": len(found.answers.classes),
            "pictures": len(found.answers),
            "accuracy": told["accuracy"].value,
            "balanced_accuracy": told["balanced_accuracy"].value,
            "ci95": told["accuracy"].bounds,
            **found.figures,
        }


def drawn(checkpoint: Checkpoint, samples: Sequence[Sample]) -> FloatArray:
    """How the channels of the maps of strides 8 and 16 go together over each picture, N × ΣC·(C−1)/2.

    Correlations keep what lines, shades and colours occur *together* (Gram matrices, Gatys et al. 2016), and forget
    where; means and deviations alone tell illustrators apart less well.
    """
    from booru_ml.nn.style import Statistics
    from booru_ml.training.features import Frozen

    stages = _stages(checkpoint)
    frozen = Frozen(checkpoint, stages=stages)
    together = Statistics(frozen.backbone.channels, stages, kinds=(Statistic.CORRELATIONS,))
    frames = track(frames_of(samples), "Looking at how they are drawn", total=len(samples))
    return frozen.rows(frames, lambda features: together(features.maps))


def _stages(checkpoint: Checkpoint) -> tuple[int, ...]:
    """The last map of each of ``STRIDES`` that the backbone has; plain vision transformers have one of them."""
    from booru_ml.nn.backbones import stage_of_stride
    from booru_ml.training.features import Frozen

    model, found = Frozen(checkpoint).backbone.model, []
    for stride in STRIDES:
        with suppress(CheckpointError):
            found.append(stage_of_stride(model, stride))
    if not found:
        raise InvalidInput(f"{checkpoint.name} has no feature map of stride {' or '.join(map(str, STRIDES))}.")
    return tuple(found)


def _samples(options: Options, say: Say) -> list[Sample]:
    """The pictures of artists that can be asked about; the others are left out, and said. Raises ``InvalidInput``."""
    folder, group = options["data"], options["group"]
    if group is None:
        group = "character" if "character" in manifest.columns(folder) else "group"
    samples = manifest.read(folder, label=options["label"], group=group)
    kept = cutting.least_groups([one.label for one in samples], [one.group for one in samples], 2)
    if left := sorted({one.label for one in samples} - kept):
        say(f"{len(left)} artists have pictures of one {group} only and are left out: {', '.join(left[:5])}")
    if len(kept) < 2:
        raise InvalidInput(f"{folder}: telling artists apart needs two of them, each with pictures of two {group}s.")
    found = [one for one in samples if one.label in kept]
    if alone := sum(map(_alone, found)):
        say(
            f"{alone} of {len(found)} pictures have no {group}, so characters may stand on both sides and give the "
            "artist away: the figures are not content-disjoint."
        )
    return found


def _alone(sample: Sample) -> bool:
    """Whether nothing is known of what the picture has in common with others."""
    return sample.group == str(sample.path.resolve())


def _extremes(classes: Sequence[str], pairs: Table) -> str:
    """Which two are hardest and which are easiest to tell apart."""
    told = []
    for word, place in (("hardest", np.nanargmin(pairs)), ("easiest", np.nanargmax(pairs))):
        a, b = divmod(int(place), len(classes))
        told.append(f"{word} {classes[a]} and {classes[b]}, {pairs[a, b]:.3f}")
    return ", ".join(told)
