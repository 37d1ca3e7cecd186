"""The face head from folders to figures: scenes composed, looked at once, learnt from, tested on strangers."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from booru_ml.errors import InvalidInput
from booru_ml.nn.heads import Heatmap
from booru_ml.nn.survey import read_picture
from booru_ml.progress import track
from booru_ml.training import heatmap, manifest
from booru_ml.training.features import Frozen
from booru_ml.training.heatmap import CHANNELS, Found, Recipe, Scenes
from booru_ml.training.scenes import Composer, Drawing, Scene, drawings
from booru_ml.types import Box, PixelArray

if TYPE_CHECKING:
    from booru_ml.checkpoint import Checkpoint, Head

HELD_OUT = 6
"""Every sixth character is kept for testing: by half of these the score is chosen, the others are reported."""
TESTED = 200
"""Pictures of each test."""


@dataclass(frozen=True, slots=True)
class Material:
    """Drawings with known faces and crops that a face fills, each with its character."""

    drawings: tuple[tuple[str, Drawing], ...]
    crops: tuple[tuple[str, Path], ...]

    def of(self, characters: set[str]) -> Material:
        return Material(
            tuple(one for one in self.drawings if one[0] in characters),
            tuple(one for one in self.crops if one[0] in characters),
        )


@dataclass(frozen=True, slots=True)
class Seen:
    """Scenes to learn from; and by name those of strangers: to choose the score by, and, of others, to report."""

    scenes: Scenes
    choosing: Mapping[str, Scenes]
    reported: Mapping[str, Scenes]


def gather(data: Sequence[Path], crops: Sequence[Path], *, most: int | None = None) -> Material:
    """Of folders; ``most`` thins each folder of drawings. Characters are told by the drawings' subfolder and the crops'
    manifest; of a manifest with splits, train teaches and test tests. Raises ``InvalidInput``."""
    known = [item for folder in data for item in _thinned(drawings(folder), most)]
    cut = [
        (sample.label, sample.path)
        for folder in crops
        for sample in manifest.read(folder, label="character")
        if sample.split in ("", "test" if _number(sample.label) % HELD_OUT == 0 else "train")
    ]
    return Material(tuple((item.path.parent.name, item) for item in known), tuple(cut))


def parts(material: Material) -> tuple[Material, Material, Material]:
    """To learn from, to choose the score by, and to report: no character is in two of them. Raises ``InvalidInput``."""
    side: dict[str, int] = {}
    for some in (material.drawings, material.crops):
        new = sorted({name for name, _ in some} - side.keys(), key=_number)
        strangers = [name for name in new if _number(name) % HELD_OUT == 0]
        side |= dict.fromkeys(new, 0) | {name: 2 - place % 2 for place, name in enumerate(strangers)}
    if set(side.values()) != {0, 1, 2}:
        raise InvalidInput("Too few characters to keep some for testing; give drawings or crops of two dozen or more.")
    learnt, choosing, reported = (material.of({name for name in side if side[name] == part}) for part in range(3))
    return learnt, choosing, reported


def look(checkpoint: Checkpoint, material: Material, *, count: int, stages: Sequence[int]) -> Seen:
    """``count`` composed scenes to learn from, and drawings and pasted crops of strangers. Raises ``InvalidInput``."""
    learnt, choosing, reported = parts(material)
    frozen = Frozen(checkpoint, stages=stages)

    def tests(of: Material, seed: int) -> dict[str, Scenes]:
        asked: dict[str, Iterator[Scene]] = {}
        if of.drawings:
            chosen = manifest.evenly([item for _, item in of.drawings], TESTED)
            asked["drawings"] = (Scene(read_picture(item.path), item.faces) for item in track(chosen, "drawings"))
        if of.crops:
            strangers = Composer([], [path for _, path in of.crops], seed=seed)
            asked["pasted crops"] = iter(track(list(strangers.scenes(TESTED)), "pasted crops"))
        return {name: _seen(frozen, scenes, stages) for name, scenes in asked.items()}

    composer = Composer([item for _, item in learnt.drawings], [path for _, path in learnt.crops], seed=0)
    scenes = (scene for _, scene in zip(track(range(count), "scenes"), composer.scenes(count), strict=True))
    return Seen(_seen(frozen, scenes, stages), tests(choosing, 2), tests(reported, 1))


def train(head: Head, scenes: Scenes, *, channels: dict[int, int], recipe: Recipe) -> Heatmap:
    torch.manual_seed(recipe.seed)
    return heatmap.fit(Heatmap(head, channels), scenes, recipe=recipe)


def examine(module: Heatmap, seen: Seen) -> tuple[float, dict[str, Found]]:
    """The least score with the best F1 over one half of the strangers, and what is found of the others at it."""
    tests = list(seen.choosing.values())
    threshold = heatmap.best_threshold(
        [one for scenes in tests for one in heatmap.detect(module, scenes, threshold=0.2)],
        [one for scenes in tests for one in scenes.faces],
    )
    found = {name: heatmap.detect(module, scenes, threshold=threshold) for name, scenes in seen.reported.items()}
    return threshold, {name: heatmap.measure(found[name], scenes.faces) for name, scenes in seen.reported.items()}


def head(name: str, module: Heatmap, stages: Sequence[int], hidden: Sequence[int]) -> tuple[dict[str, Any], Any]:
    """What ``booru.heads`` says of it, and its tensors."""
    said = {"kind": "heatmap", "stages": list(stages), "hidden": list(hidden), "channels": list(CHANNELS)}
    tensors: dict[str, Tensor] = {f"{name}.{key}": value.clone() for key, value in module.state_dict().items()}
    return said, tensors


def _number(character: str) -> int:
    return zlib.crc32(character.encode())


def _seen(frozen: Frozen, scenes: Iterator[Scene], stages: Sequence[int]) -> Scenes:
    faces: list[tuple[Box, ...]] = []

    def frames() -> Iterator[PixelArray]:
        for scene in scenes:
            faces.append(scene.faces)
            yield scene.pixels

    batches = [tuple(one.half() for one in maps) for maps in frozen.maps(frames(), stages)]
    return Scenes.of(batches, faces)


def _thinned(found: list[Drawing], most: int | None) -> list[Drawing]:
    return manifest.evenly(found, most) if most else found
