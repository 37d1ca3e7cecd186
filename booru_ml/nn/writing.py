"""Writing checkpoint folders: whole and checked, or not at all."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from booru_ml.checkpoint import Checkpoint, HeadKind, files, pin, values
from booru_ml.checkpoint.archives import TAKEN
from booru_ml.checkpoint.files import Folder
from booru_ml.checkpoint.labels import NUMBERED, Curve
from booru_ml.disk import beside
from booru_ml.errors import InvalidInput
from booru_ml.nn.export import export

Check = Callable[[Checkpoint], None]


@dataclass(frozen=True)
class Draft:
    """A folder's contents. ``weights``: the backbone under timm's names; ``heads``: ``<head>.<tensor>``; ``labels``:
    (head, name, category); ``thresholds``: (head, category, name, threshold) with empty text for "all"."""

    config: Mapping[str, Any]
    weights: Mapping[str, Tensor]
    heads: Mapping[str, Tensor] = field(default_factory=dict)
    labels: Iterable[tuple[str, str, str]] = ()
    thresholds: Iterable[tuple[str, str, str, float]] = ()
    card: str = ""


def check_place(target: Path) -> None:
    """Whether a checkpoint can be written there: to be asked before long work. Raises ``InvalidInput``."""
    name = target.name.lower()
    if not values.NAME.fullmatch(name):
        raise InvalidInput(
            f"The folder {str(target)!r} names the checkpoint, and {name[:60]!r} is no name for one: letters a to z, "
            "digits, '.', '_' and '-', at most 40."
        )
    there = {path.name for path in target.iterdir()} if target.is_dir() else set()
    ours = target.is_dir() and (not there or files.CONFIG in there) and there <= TAKEN
    if target.exists() and not ours:
        raise InvalidInput(
            f"{target} holds something else than a checkpoint, which would be lost"
            f"{''.join(f' ({name})' for name in sorted(there - TAKEN)[:1])}; name another folder."
        )


def write(target: Path, draft: Draft, *, check: Check | None = None) -> Checkpoint:
    """Writes ``target`` with its graph and sums; what stood there is replaced only after ``check`` let it pass."""
    check_place(target)
    with beside(target) as folder:
        (folder / files.CONFIG).write_text(json.dumps(draft.config, indent=2) + "\n", encoding="utf-8")
        _save(folder / files.WEIGHTS, draft.weights)
        _save(folder / files.HEADS, draft.heads)
        _table(folder / files.LABELS, ("head", "name", "category"), draft.labels)
        _table(folder / files.THRESHOLDS, ("head", "category", "name", "threshold"), draft.thresholds)
        (folder / files.CARD).write_text(draft.card, encoding="utf-8")
        _finish(folder, check)
    return Checkpoint.load(target)


def set_heads(
    checkpoint: Checkpoint,
    declared: Mapping[str, Mapping[str, Any]],
    tensors: Mapping[str, Tensor],
    labels: Iterable[tuple[str, str, str]] = (),
    *,
    faces: Mapping[str, Any] | None = None,
    check: Check | None = None,
) -> Checkpoint:
    """Adds heads to a folder of ours, or replaces those of the same name; the backbone's file is not touched.

    ``declared``: entries of ``booru.heads``; ``tensors``: ``<head>.<tensor>``; ``faces``: a new ``booru.faces``.
    Raises ``InvalidInput`` for a folder of somebody else's shape.
    """
    if "heads" not in Folder(checkpoint.path).json(files.CONFIG).get("booru", {}):
        raise InvalidInput(
            f"{checkpoint.path} is as its publisher made it and holds no heads of ours. "
            "Make a folder of ours out of it first: booru_train encoder --base"
        )
    with beside(checkpoint.path, copied=True) as folder:
        config = json.loads((folder / files.CONFIG).read_text(encoding="utf-8"))
        config["booru"]["heads"] |= {name: dict(said) for name, said in declared.items()}
        if faces is not None:
            config["booru"]["faces"] = dict(faces)
        config["booru"].pop("precision", None)  # measured with the heads of before, as vectors' similarities were
        if any(said.get("kind") in (HeadKind.EMBEDDING, HeadKind.STYLE) for said in declared.values()):
            config["booru"].pop("recognition", None)
        (folder / files.CONFIG).write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
        kept = load_file(folder / files.HEADS) if (folder / files.HEADS).exists() else {}
        kept = {key: tensor for key, tensor in kept.items() if key.partition(".")[0] not in declared}
        _save(folder / files.HEADS, kept | dict(tensors))
        named = [
            (head.name, label.name, str(label.category))
            for head in checkpoint.heads.values()
            if head.name not in declared
            for label in head.labels
        ]
        named += labels
        _table(folder / files.LABELS, ("head", "name", "category"), named)
        if files.THRESHOLDS in checkpoint.sums:
            _drop_stale(folder / files.THRESHOLDS, {(head, name) for head, name, _ in named})
        set_calibration(folder, {name: curve for name, curve in checkpoint.calibration.items() if name not in declared})
        _finish(folder, check)
    return Checkpoint.load(checkpoint.path)


def renew_graph(checkpoint: Checkpoint, *, check: Check | None = None) -> Checkpoint:
    """Writes ``model.onnx`` anew and pins the folder again."""
    with beside(checkpoint.path, copied=True) as folder:
        _finish(folder, check)
    return Checkpoint.load(checkpoint.path)


def set_calibration(folder: Path, curves: Mapping[str, Curve]) -> None:
    """Writes ``calibration.csv``; the folder has to be pinned afterwards."""
    points = [(name, *point) for name, curve in sorted(curves.items()) for point in zip(*curve, strict=True)]
    _table(folder / files.CALIBRATION, ("head", "score", "probability"), points)


def _drop_stale(path: Path, named: set[tuple[str, str]]) -> None:
    """Takes out the rows of ``thresholds.csv`` for labels that a replaced head had and has no more."""
    known = named | {(head, "") for head, _ in named} | {("", name) for _, name in named} | {("", "")}

    def kept(row: Mapping[str, str]) -> bool:
        head, name, category = (row.get(column, "") for column in ("head", "name", "category"))
        return (head, "" if name == NUMBERED.get(category, category) else name) in known

    with path.open(newline="", encoding="utf-8-sig") as file:
        reader = csv.DictReader(file)
        rows = [tuple(row.values()) for row in reader if kept(row)]
    _table(path, tuple(reader.fieldnames or ()), rows)


def _finish(folder: Path, check: Check | None) -> None:
    (folder / files.ONNX).unlink(missing_ok=True)
    pin(folder)
    export(Checkpoint.load(folder))
    pin(folder)
    if check is not None:
        check(Checkpoint.load(folder))


def _save(path: Path, tensors: Mapping[str, Tensor]) -> None:
    if not tensors:
        path.unlink(missing_ok=True)
        return
    try:
        save_file({key: tensor.contiguous() for key, tensor in tensors.items()}, path, metadata={"format": "pt"})
    except SafetensorError as error:
        raise OSError(str(error)) from error
    path.chmod(0o644)


def _table(path: Path, columns: tuple[str, ...], rows: Iterable[tuple[Any, ...]]) -> None:
    rows = list(rows)
    if not rows:
        path.unlink(missing_ok=True)
        return
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(rows)
