"""The face head from folders to figures: scenes composed, looked at once, learnt from, tested on strangers."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
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
"""Every sixth character is kept for testing."""
TESTED = 200
"""Pictures of each test."""


@dataclass(frozen=True, slots=True)
class Material:
    """Drawings with known faces and crops that a face fills: to learn from, and of characters kept for testing."""

    drawings: tuple[Drawing, ...]
    crops: tuple[Path, ...]
    strange_drawings: tuple[Drawing, ...]
    strange_crops: tuple[Path, ...]


def gather(data: Sequence[Path], crops: Sequence[Path], *, most: int | None = None) -> Material:
    """Of folders; ``most`` thins each folder of drawings. Characters are told by the drawings' subfolder and the crops'
    manifest; of a manifest with splits, train teaches and test tests. Raises ``InvalidInput``."""
    known = [item for folder in data for item in _thinned(drawings(folder), most)]
    learnt: list[Path] = []
    tested: list[Path] = []
    for folder in crops:
        for sample in manifest.read(folder, label="character"):
            kept = strange(sample.label)
            if sample.split in ("", "test" if kept else "train"):
                (tested if kept else learnt).append(sample.path)
    found = Material(
        tuple(item for item in known if not strange(item.path.parent.name)),
        tuple(learnt),
        tuple(item for item in known if strange(item.path.parent.name)),
        tuple(tested),
    )
    if not (found.drawings or found.crops) or not (found.strange_drawings or found.strange_crops):
        raise InvalidInput("Too few characters to keep some for testing; give drawings or crops of a dozen or more.")
    return found


def strange(character: str) -> bool:
    """Whether a character is kept for testing."""
    return zlib.crc32(character.encode()) % HELD_OUT == 0


def look(checkpoint: Checkpoint, material: Material, *, count: int, stages: Sequence[int]) -> dict[str, Scenes]:
    """``scenes``: ``count`` composed ones to learn from; ``drawings`` and ``pasted crops``: those to test on."""
    frozen = Frozen(checkpoint, stages=stages)
    asked: dict[str, Iterator[Scene]] = {}
    if material.strange_drawings:
        chosen = manifest.evenly(material.strange_drawings, TESTED)
        asked["drawings"] = (Scene(read_picture(item.path), item.faces) for item in track(chosen, "drawings"))
    if material.strange_crops:
        strangers = Composer([], material.strange_crops, seed=1)
        asked["pasted crops"] = iter(track(list(strangers.scenes(TESTED)), "pasted crops"))
    learnt = Composer(material.drawings, material.crops, seed=0)
    asked["scenes"] = (scene for _, scene in zip(track(range(count), "scenes"), learnt.scenes(count), strict=True))
    return {name: _seen(frozen, scenes, stages) for name, scenes in asked.items()}


def train(head: Head, scenes: Scenes, *, channels: dict[int, int], recipe: Recipe) -> Heatmap:
    torch.manual_seed(recipe.seed)
    return heatmap.fit(Heatmap(head, channels), scenes, recipe=recipe)


def examine(module: Heatmap, seen: dict[str, Scenes]) -> tuple[float, dict[str, Found]]:
    """The least score with the best F1 over all tests together, and what is found in each at that score."""
    tests = {name: scenes for name, scenes in seen.items() if name != "scenes"}
    found = {name: heatmap.detect(module, scenes, threshold=0.2) for name, scenes in tests.items()}
    threshold = heatmap.best_threshold(
        [one for each in found.values() for one in each], [one for scenes in tests.values() for one in scenes.faces]
    )
    surer = {name: [[item for item in one if item[1] >= threshold] for one in each] for name, each in found.items()}
    return threshold, {name: heatmap.measure(surer[name], scenes.faces) for name, scenes in tests.items()}


def head(name: str, module: Heatmap, stages: Sequence[int], hidden: Sequence[int]) -> tuple[dict[str, Any], Any]:
    """What ``booru.heads`` says of it, and its tensors."""
    said = {"kind": "heatmap", "stages": list(stages), "hidden": list(hidden), "channels": list(CHANNELS)}
    tensors: dict[str, Tensor] = {f"{name}.{key}": value.clone() for key, value in module.state_dict().items()}
    return said, tensors


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
