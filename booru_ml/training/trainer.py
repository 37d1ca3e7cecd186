"""A training from samples to a checkpoint folder: the loop's parts put together, the result tested and written."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import set_seed

from booru_ml.checkpoint import Checkpoint, Head, HeadKind, Preprocess
from booru_ml.disk import writing
from booru_ml.errors import InvalidInput
from booru_ml.evaluation.calibration import best_f1
from booru_ml.evaluation.folds import Fold, nearest
from booru_ml.evaluation.pictures import shrunk
from booru_ml.nn.backbones import Backbone
from booru_ml.nn.verification import verify
from booru_ml.nn.writing import Draft, write
from booru_ml.training import loop, reports
from booru_ml.training.architectures import Start
from booru_ml.training.events import Events
from booru_ml.training.features import meant
from booru_ml.training.material import Material, material, seen
from booru_ml.training.objectives import Answering, Frozen, Learner, Objective
from booru_ml.training.pictures import Deal
from booru_ml.training.runs import Curve, Run
from booru_ml.training.settings import Settings
from booru_ml.training.tasks import Task

if TYPE_CHECKING:
    from booru_ml.training.manifest import Sample

FLOOR_UP_TO = 10**9
"""Pairs of train and test pictures that are compared at 16×16 pixels: some minutes of a core."""
CHOSEN_PER_TAG = 3
"""Validation pictures from which on a tag has a threshold of its own."""


@dataclass(frozen=True)
class Bench:
    """Where it is done: devices by accelerate, processes that read pictures, where the curves are drawn."""

    accelerator: Accelerator
    workers: int = 0
    tensorboard: bool = True

    def fit(
        self,
        learner: Learner,
        data: Any,
        targets: Any,
        *,
        settings: Settings,
        frozen: Frozen,
        run: Run,
        examine: loop.Examine | None,
    ) -> tuple[Learner, Curve]:
        """``loop.fit`` with its log open meanwhile."""
        ranks, rank = self.accelerator.num_processes, self.accelerator.process_index
        deal = Deal.of(targets, settings, rank=rank, ranks=ranks)
        log = self._log(run) if self.accelerator.is_main_process and self.tensorboard else None
        try:
            return loop.fit(
                learner,
                data,
                deal,
                settings=settings,
                frozen=frozen,
                accelerator=self.accelerator,
                run=run,
                examine=examine,
                log=log,
                workers=self.workers,
            )
        finally:
            self.accelerator.free_memory()  # which else remembers every network that it prepared
            if log is not None:
                with contextlib.suppress(OSError):  # a full disk: was told of by what matters more, or will be
                    log.close()

    def answers(self, learner: Learner, data: Any, settings: Settings) -> tuple[torch.Tensor, torch.Tensor, float]:
        """``loop.answers`` on this bench's device, read by its processes."""
        return loop.answers(learner, data, batch=settings.batch, device=self.accelerator.device, workers=self.workers)

    def _log(self, run: Run) -> Events:
        with writing(run.logs):
            # A run that goes on draws its curves anew, from the first epoch.
            return Events(run.logs, anew=run.load() is not None)


def preprocess(start: Start, settings: Settings) -> Preprocess:
    """As the finished checkpoint looks at pictures."""
    side = settings.look or settings.size
    if "img_size" in start.model_args and side != settings.size:
        raise InvalidInput(f"{start.architecture} is made for one size; leave out --look.")
    return Preprocess(
        width=side,
        height=side,
        resize=settings.resize,
        interpolation=start.interpolation,
        mean=(start.mean[0], start.mean[1], start.mean[2]),
        std=(start.std[0], start.std[1], start.std[2]),
    )


def prepare(start: Start, samples: Sequence[Sample], task: Task, settings: Settings, bench: Bench) -> Material:
    """The pictures, or, where the backbone learns nothing and they do not vary, what it sees in them."""
    given = material(samples, task, preprocess(start, settings), settings)
    if Frozen(start.model, settings.frozen).everything and settings.augment == "none":
        learner = Learner(copy.deepcopy(start.model), Objective())  # which moves to the device
        return seen(given, learner, bench.accelerator.device)
    return given


def teach(start: Start, given: Material, settings: Settings, bench: Bench, run: Run) -> tuple[Learner, Curve]:
    """A learner from ``start``, which stays as it is, taught with the material."""
    set_seed(settings.seed, deterministic=False)
    learner, frozen = learner_of(start, _head(given, settings), settings)
    examine = _examiner(given, settings, bench) if "val" in given.sets else None
    return bench.fit(
        learner,
        given.sets["train"],
        given.targets["train"],
        settings=settings,
        frozen=frozen,
        run=run,
        examine=examine,
    )


def tested(learner: Learner, given: Material, settings: Settings, bench: Bench, part: str) -> reports.Tested:
    """Answers on the pictures of one split."""
    said, _, _ = bench.answers(learner, given.sets[part], settings)
    return reports.Tested(given.task, given.answers(part, said.numpy()), given.taught)


def floored(found: reports.Tested, given: Material) -> reports.Tested:
    """With what the nearest train picture at 16×16 pixels gets right: a score near it shows near copies, no skill."""
    taught, asked = given.samples["train"], given.samples["test"]
    if given.task.several or len(taught) * len(asked) > FLOOR_UP_TO:
        return found
    pixels = np.stack([shrunk(frame) for frame in meant([*taught, *asked], "Looking at 16×16 pixels", 1.0)])
    truth = np.array([place for part in ("train", "test") for (place,) in given.targets[part]])
    fold = Fold(np.arange(len(taught)), np.arange(len(taught), len(truth)))
    return replace(found, answers=replace(found.answers, floor=nearest(pixels, truth, fold)))


def publish(
    out: Path, start: Start, learner: Learner, given: Material, settings: Settings, bench: Bench, card: str
) -> Checkpoint:
    """The checkpoint folder: backbone, embedding, the task's head, and thresholds of tags chosen by validation."""
    task, name = given.task, given.task.name
    said: dict[str, Any] = {"kind": str(task.kind)}
    if settings.hidden:
        said["hidden"] = list(settings.hidden)
    thresholds: list[tuple[str, str, str, float]] = []
    if task.several and "val" in given.sets:
        found = tested(learner, given, settings, bench, "val").answers
        for label, true, scores in zip(found.classes, found.truth.T > 0, found.chances.T, strict=True):
            chosen = best_f1(true, scores) if true.sum() >= CHOSEN_PER_TAG else None
            thresholds.append((name, "", label, 0.5 if chosen is None else chosen))
    draft = Draft(
        config=config_of(out, start, preprocess(start, settings), {name: said}, learner.backbone),
        weights=weights_of(learner.backbone),
        heads={f"{name}.{key}": value.cpu() for key, value in learner.objective.tensors().items()},
        labels=[(name, label.name, label.category.value) for label in given.labels],
        thresholds=thresholds,
        card=card,
    )
    return write(out, draft, check=check)


def _head(given: Material, settings: Settings) -> Callable[[int], Objective]:
    declared = Head(given.task.name, given.task.kind, labels=given.labels, hidden=settings.hidden)
    return lambda width: Answering(declared, width, settings)


def _examiner(given: Material, settings: Settings, bench: Bench) -> loop.Examine:
    def examine(learner: Learner) -> Mapping[str, float]:
        found = bench.answers(learner, given.sets["val"], settings)
        return {"loss": found[2], **given.task.figures(given.answers("val", found[0].numpy()))}

    return examine


def learner_of(start: Start, make: Callable[[int], Objective], settings: Settings) -> tuple[Learner, Frozen]:
    model = copy.deepcopy(start.model)
    frozen = Frozen(model, settings.frozen)
    with torch.no_grad():
        model.eval()
        width = Backbone(model).features(torch.zeros(1, 3, settings.size, settings.size)).pooled.shape[1]
    return Learner(model, make(width)), frozen


def config_of(
    out: Path, start: Start, look: Preprocess, heads: Mapping[str, Any], backbone: Backbone
) -> dict[str, Any]:
    said = {
        "size": [look.width, look.height],
        "resize": look.resize,
        "interpolation": look.interpolation,
        "mean": list(look.mean),
        "std": list(look.std),
        "channels": look.channels,
        "crop_pct": look.crop_pct,
    }
    width = backbone.width
    return {
        "architecture": start.architecture,
        "num_classes": 0,
        "num_features": width,
        **({"model_args": dict(start.model_args)} if start.model_args else {}),
        "booru": {
            "format": 1,
            "name": out.name.lower(),
            "preprocess": said,
            "heads": {"embedding": {"kind": str(HeadKind.EMBEDDING), "dim": width}, **heads},
        },
    }


def weights_of(backbone: Backbone) -> dict[str, torch.Tensor]:
    return {key: tensor.cpu().contiguous() for key, tensor in backbone.model.state_dict().items()}


def check(checkpoint: Checkpoint) -> None:
    verify(checkpoint)
