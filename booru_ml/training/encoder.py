"""Teaches a backbone to tell drawn characters apart (metric learning), so that unseen ones can be told apart too.

A margin softmax over many characters pulls a character's pictures together and others away; at use the class weights
are thrown away and the pooled features alone are the embedding.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from accelerate.utils import set_seed

from booru_ml.checkpoint import files
from booru_ml.errors import InvalidInput
from booru_ml.nn.writing import Draft, write
from booru_ml.training import episodes
from booru_ml.training.architectures import Start
from booru_ml.training.loop import in_order
from booru_ml.training.material import identities
from booru_ml.training.objectives import Angular, CosineMargin, Learner
from booru_ml.training.pictures import Pictures
from booru_ml.training.runs import Curve, Run
from booru_ml.training.settings import Settings
from booru_ml.training.teacher import Copying, Pupil, Teacher
from booru_ml.training.trainer import Bench, check, config_of, learner_of, preprocess, weights_of

if TYPE_CHECKING:
    from booru_ml.checkpoint import Checkpoint, Preprocess
    from booru_ml.nn.backbones import Backbone
    from booru_ml.training.manifest import Sample

WAYS, SHOTS = 5, 5
MEASURED = ("precision", "recognition")
"""What a config says of one set of weights and of no other."""


def teach(
    start: Start,
    samples: Sequence[Sample],
    settings: Settings,
    bench: Bench,
    run: Run,
    *,
    strangers: Mapping[str, Sequence[Sample]],
    teacher: Checkpoint | None = None,
) -> tuple[Learner, Curve]:
    """An encoder taught with the samples' classes, or with what a ``teacher`` says of them.

    ``strangers``: sets of other characters; where there are any, the loss that counts is the share of mistakes in their
    5-way 5-shot games after each epoch.
    """
    set_seed(settings.seed, deterministic=False)
    data, targets = identities(samples, preprocess(start, settings), settings, pairs=teacher is not None)
    if teacher is None:
        classes = len(set(targets))
        if classes < 2:
            raise InvalidInput("Teaching needs two classes or more; only a --teacher does without.")
        make = CosineMargin if settings.objective == "cosface" else Angular
        learner, frozen = learner_of(start, lambda width: make(width, classes, settings), settings)
    else:
        shown = Teacher(teacher, start)
        learner, frozen = learner_of(start, lambda width: Copying(width, shown), settings)
        learner = Pupil(learner.backbone.model, learner.objective, shown)
    games = [Games(name, found, start, settings, bench) for name, found in strangers.items()]

    def examine(learner: Learner) -> Mapping[str, float]:
        found = {game.name: game.play(learner) for game in games}
        return {"loss": 1.0 - float(np.mean(list(found.values()))), **found}

    return bench.fit(
        learner, data, targets, settings=settings, frozen=frozen, run=run, examine=examine if games else None
    )


def publish(
    out: Path, start: Start, backbone: Backbone, look: Preprocess, *, card: str, base: Checkpoint | None = None
) -> Checkpoint:
    """The checkpoint folder. Its only head is the plain embedding: others were fitted to other features.

    Of a ``base``'s config stays what is neither that nor measured of its vectors, as calibrations and precision are.
    """
    config = config_of(out, start, look, {}, backbone)
    if base is not None:
        before = json.loads((base.path / files.CONFIG).read_text(encoding="utf-8"))
        kept = {key: said for key, said in before.get("booru", {}).items() if key not in MEASURED}
        config = {**before, **config, "booru": {**kept, **config["booru"]}}
    config["booru"]["faces"] = {"detector": "animeface"}
    return write(out, Draft(config, weights_of(backbone), card=card), check=check)


class Games:
    """Few-shot games with characters that nothing is taught about."""

    def __init__(self, name: str, samples: Sequence[Sample], start: Start, settings: Settings, bench: Bench) -> None:
        self.name, self.bench = name, bench
        self.labels, self.groups = [sample.label for sample in samples], [sample.group for sample in samples]
        self.pictures = Pictures(samples, [(0,)] * len(samples), preprocess(start, settings))
        # Asked now: after the first epoch would be late.
        if self._accuracy(np.zeros((len(samples), 1), np.float32)) is None:
            raise InvalidInput(
                f"{name}: a {WAYS}-way {SHOTS}-shot game takes {WAYS} classes of {SHOTS + 1} groups each."
            )

    def play(self, learner: Learner) -> float:
        """Accuracy, 0–1."""
        device, workers = self.bench.accelerator.device, self.bench.workers
        rows = []
        with torch.inference_mode():
            for pixels, _ in in_order(self.pictures, batch=32, device=device, workers=workers):
                rows.append(learner.features(pixels).float().cpu().numpy())
        vectors = np.concatenate(rows)
        found = self._accuracy(vectors / (np.linalg.norm(vectors, axis=1, keepdims=True) + 1e-12))
        return found.mean if found else 0.0

    def _accuracy(self, vectors: np.ndarray) -> episodes.Accuracy | None:
        return episodes.accuracy(vectors, self.labels, self.groups, ways=WAYS, shots=SHOTS)
