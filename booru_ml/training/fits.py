"""What ``booru_train --into`` is asked for a head: fitted on a frozen checkpoint, tested, and its figures told."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from torch import Tensor

from booru_ml.checkpoint import Checkpoint, Head, HeadKind
from booru_ml.errors import InvalidInput
from booru_ml.nn.writing import set_heads
from booru_ml.training import faces, manifest, quality, vectors
from booru_ml.training.heatmap import CHANNELS, Recipe
from booru_ml.training.manifest import Sample
from booru_ml.training.trainer import check

Say = Callable[[str], Any]
Options = Mapping[str, Any]


@dataclass(frozen=True)
class Fitted:
    """A head as ``set_heads`` takes it: what config.json says of it, its tensors, and what else changes with it."""

    said: Mapping[str, Any]
    tensors: Mapping[str, Tensor]
    more: Mapping[str, Any] = field(default_factory=dict)


def fit(task: str, options: Options, say: Say) -> Checkpoint | None:
    """Fits the head of the task, and writes it into the folder ``into`` unless it is a ``dry_run``; returns what was
    written. Raises ``BooruError``."""
    checkpoint = Checkpoint.load(options["into"])
    found = FITS[task](checkpoint, options, say)
    if options["dry_run"]:
        return None
    return set_heads(checkpoint, {options["head"]: found.said}, found.tensors, check=check, **found.more)


def _whitening(checkpoint: Checkpoint, options: Options, say: Say) -> Fitted:
    said: dict[str, Any] = {"kind": options["kind"], "dim": options["dim"], "projected": True}
    if options["stages"]:
        said |= {"stages": options["stages"], "regions": options["regions"]}
    if options["statistics"] != ["moments"]:
        said |= {"statistics": options["statistics"], "widest": options["widest"]}
    declared = vectors.declare(options["head"], said)
    to_fit = _to_fit(options)
    if not to_fit:
        raise InvalidInput("Name at least one folder after --data or --faces.")
    module = vectors.untaught(checkpoint, declared, to_fit)
    sets = vectors.look(checkpoint, to_fit, module, also=options["also"])
    if options["unlabelled"]:
        sets = [vectors.unlabelled(one) for one in sets]
    shrink = options["shrink"]
    if shrink is None and options["unlabelled"]:
        raise InvalidInput("Without labels nothing can be tested; give --shrink.")
    if shrink is None:
        shrink = vectors.best_shrink(_told(vectors.trials(sets, dim=options["dim"]), say))
        say(f"chosen: shrinkage {shrink}")
    tested = vectors.look(checkpoint, _to_test(options), module)
    _told(vectors.tests(sets, tested, dim=options["dim"], shrink=shrink), say)
    return Fitted(said, vectors.head(declared, module, sets, shrink=shrink))


def _told(trials: Iterable[vectors.Trial], say: Say) -> list[vectors.Trial]:
    found = []
    for trial in trials:
        say(str(trial))
        found.append(trial)
    return found


def _to_fit(options: Options) -> dict[str, list[Sample]]:
    sets = {}
    names = manifest.called((*options["data"], *options["faces"]))
    for of_faces in (False, True):
        for folder in options["faces" if of_faces else "data"]:
            found = manifest.read(folder, label=options["label"], group=options["group"], split="train", faces=of_faces)
            kept = manifest.at_most(found, options["most"]) if options["most"] else found
            sets[f"{names[folder]}, faces" if of_faces else names[folder]] = kept
    return sets


def _to_test(options: Options) -> dict[str, list[Sample]]:
    label, group = (options[f"test_{name}"] or options[name] for name in ("label", "group"))
    return {
        name: manifest.read(folder, label=label, group=group, split="test")
        for folder, name in manifest.called(options["test"]).items()
    }


def _quality(checkpoint: Checkpoint, options: Options, say: Say) -> Fitted:
    if not options["data"]:
        raise InvalidInput("Name at least one folder of graded drawings after --data.")
    found: list[quality.Graded] = []
    for folder in options["data"]:
        graded = quality.drawings(folder)
        found += manifest.evenly(graded, options["most"]) if options["most"] else graded
    for folder in options["finished"]:
        found += quality.finished(folder, most=max(1, len(found) // 8))
    looks = quality.look(checkpoint, found, inputs=options["inputs"])
    result = quality.cross_validate(looks, ridge=options["ridge"])
    say("Artists and characters that the head was not fitted on:")
    for name, agreed in result.held_out.items():
        same = f"  same grade as without: {result.steady[name]:.3f}" if name in result.steady else ""
        say(f"  {name}: {agreed}{same}")
    for artist, share in result.finished.items():
        say(f"  finished ones of {artist} called finished: {share:.3f}")
    taught = quality.train(looks, ridge=options["ridge"])
    said, tensors, labels = quality.head(options["head"], taught, options["inputs"])
    return Fitted(said, tensors, {"labels": labels})


def _faces(checkpoint: Checkpoint, options: Options, say: Say) -> Fitted:
    name, stages, hidden = options["head"], options["stages"], options["hidden"]
    material = faces.gather(options["data"], options["crops"], most=options["most"])
    seen = faces.look(checkpoint, material, count=options["scenes"], stages=stages)
    channels = {stage: int(maps.shape[1]) for stage, maps in zip(stages, seen.scenes.maps, strict=True)}
    declared = Head(name, HeadKind.HEATMAP, stages=tuple(stages), hidden=tuple(hidden), channels=CHANNELS)
    module = faces.train(declared, seen.scenes, channels=channels, recipe=Recipe(epochs=options["epochs"]))
    threshold, figures = faces.examine(module, seen)
    say(f"Characters by whom neither head nor score was chosen, score {threshold:g} or more:")
    for what, found in figures.items():
        say(f"  {what}: {found}")
    said, tensors = faces.head(name, module, stages, hidden)
    settings = asdict(checkpoint.faces) | {"detector": "heatmap", "threshold": threshold}
    return Fitted(said, tensors, {"faces": settings})


FITS: Mapping[str, Callable[[Checkpoint, Options, Say], Fitted]] = {
    "whitening": _whitening,
    "quality": _quality,
    "faces": _faces,
}
