"""A checkpoint folder: the only way weights enter the project.

``config.json`` is timm's own, with a ``booru`` section for preprocessing and heads; ``model.safetensors`` holds the
backbone under timm's names, ``heads.safetensors`` our heads under theirs; ``model.onnx`` (optional) is both in one
graph; ``labels.csv``, ``thresholds.csv``, ``calibration.csv`` and ``card.md`` say what the outputs mean;
``SHA256SUMS`` pins all of them.
A plain timm folder gives its embedding; a folder of the WD taggers' shape gives tags and a rating, too.
"""

from __future__ import annotations

import hashlib
import json
import mmap
import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, Self

from booru_ml.checkpoint import backbone, files, labels, values
from booru_ml.checkpoint.backbone import Preprocess
from booru_ml.checkpoint.faces import FaceSettings
from booru_ml.checkpoint.files import Folder, pin
from booru_ml.checkpoint.heads import Head, HeadKind, Label, Pool
from booru_ml.checkpoint.heads import head as read_head
from booru_ml.checkpoint.labels import Curve
from booru_ml.types import Category

__all__ = ["Checkpoint", "Head", "HeadKind", "Label", "Pool", "Preprocess", "join_versions", "pin", "read_version"]

FORMAT = 1
EMBEDDING = "embedding"
"""The task of embedding, style and faces: they go together, since they live in one space."""
PRECISIONS = ("float32", "bfloat16")
_HEADER_LIMIT = 32 * files.MIB


@dataclass(frozen=True, slots=True, eq=False)
class Checkpoint:
    """What a folder says about its network; no weight is in memory."""

    name: str
    version: str
    path: Path
    architecture: str
    model_args: Mapping[str, Any]
    num_classes: int
    preprocess: Preprocess
    heads: Mapping[str, Head]
    thresholds: Mapping[str, Mapping[str, float]]
    calibration: Mapping[str, Curve]
    """By head, what its scores mean; ``booru_ml.nn.calibrated`` goes by it."""
    faces: FaceSettings
    recognition: Any
    """``booru.recognition``, what its vectors' similarities mean; ``embeddings.calibration`` reads it. None: nobody
    found out."""
    precision: str
    """``booru.precision``, the least in which its answers were measured to be as good; float32 where nobody did."""
    sums: Mapping[str, str] = field(repr=False)
    speaks: frozenset[str] | None = None
    """The tasks that it is asked for beside others; None: all that it has."""

    @classmethod
    def load(cls, folder: str | Path) -> Self:
        """Reads the folder and compares every file with its pinned sum. Raises ``CheckpointError``."""
        checkpoint = cls.read(folder)
        Folder(checkpoint.path).verify()
        return checkpoint

    @classmethod
    def read(cls, folder: str | Path, sums: Mapping[str, str] | None = None) -> Self:
        """As ``load``, but large files are only found, not read. Cheap. ``sums``: in place of those that are pinned."""
        source = Folder(folder, sums)
        config = source.json(files.CONFIG)
        booru = config.get("booru")
        if booru is not None and (not isinstance(booru, dict) or booru.get("format") != FORMAT):
            source.fail(f"booru.format must be {FORMAT}. Another release of the project may read this folder")
        architecture, model_args, num_classes = backbone.architecture(config, source.fail)
        shapes = tensor_shapes(source, files.WEIGHTS)
        if booru is not None and "heads" in booru:
            heads = _declared(source, booru)
            thresholds = labels.read_thresholds(source, {h.name: h.labels for h in heads.values() if h.scored})
        else:
            heads, thresholds = _implied(source, config, shapes)
        name = str((booru or {}).get("name") or source.path.name.lower())
        if not values.NAME.fullmatch(name):
            source.fail(f"the name {name[:60]!r} must be lower-case letters, digits, '.', '_', '-', at most 40")
        digest = hashlib.sha256()
        for file in files.IDENTITY:
            if file in source:
                digest.update(f"{source.sums[file]}  {file}\n".encode())
        return cls(
            name=name,
            version=f"{name}@{digest.hexdigest()[:12]}",
            path=source.path,
            architecture=architecture,
            model_args=model_args,
            num_classes=num_classes,
            preprocess=backbone.preprocess(config, wd=files.WD_LABELS in source, fail=source.fail),
            heads=heads,
            thresholds=thresholds,
            calibration=labels.read_calibration(source, {h.name for h in heads.values() if h.scored}),
            faces=_faces(source, booru, heads),
            recognition=(booru or {}).get("recognition"),
            precision=values.one_of(
                (booru or {}).get("precision", "float32"), PRECISIONS, "booru.precision", source.fail
            ),
            sums=source.sums,
        )

    @property
    def tasks(self) -> frozenset[str]:
        """What it can be asked for: its scored heads by name, and the embedding."""
        scored = {head.name for head in self.heads.values() if head.scored}
        return frozenset(scored | ({EMBEDDING} if self.embedding_dim is not None else set()))

    def speaking(self, tasks: Iterable[str]) -> Self:
        """The same checkpoint, asked for these tasks alone."""
        return replace(self, speaks=frozenset(tasks))

    def gives(self, task: str) -> bool:
        return task in (self.tasks if self.speaks is None else self.speaks & self.tasks)

    @property
    def part(self) -> str:
        """What it contributes to a pipeline: its version, and its tasks where it has only some of them."""
        return self.version if self.speaks is None else f"{self.version} {' '.join(sorted(self.speaks))}"

    @property
    def labels(self) -> dict[str, tuple[Label, ...]]:
        return {head.name: head.labels for head in self.heads.values() if head.labels}

    @property
    def has_onnx(self) -> bool:
        """Whether ``model.onnx`` is a graph of these very weights, which a publisher's own export is not."""
        path = self.path / files.ONNX
        return files.ONNX in self.sums and path.is_file() and _names(path, self.weights_id, self.sums[files.ONNX])

    @property
    def sha256(self) -> str:
        """Of ``model.safetensors``."""
        return self.sums[files.WEIGHTS]

    @property
    def weights_id(self) -> str:
        """Of all weights: a graph refers to their bytes by place, so it belongs to these files and to no others."""
        sums = "".join(self.sums.get(name, "") for name in (files.WEIGHTS, files.HEADS))
        return hashlib.sha256(sums.encode()).hexdigest()

    @property
    def embedding_dim(self) -> int | None:
        return self._dim(HeadKind.EMBEDDING)

    @property
    def style_dim(self) -> int | None:
        return self._dim(HeadKind.STYLE)

    def _dim(self, kind: HeadKind) -> int | None:
        return next((head.dim for head in self.heads.values() if head.kind is kind), None)


def read_version(folder: str | Path) -> str:
    """The checkpoint's version without reading its weights. Raises ``CheckpointError``."""
    return Checkpoint.read(folder).version


def join_versions(versions: Iterable[str]) -> str:
    """One version for several checkpoints in their order: ``lite0+nsfwjs@<12 hex>``, at most 64 characters."""
    known = list(versions)
    digest = hashlib.sha256("\n".join(known).encode()).hexdigest()[:12]
    return "+".join(version.split("@")[0] for version in known)[:51] + "@" + digest


@lru_cache(maxsize=32)
def _names(graph: Path, weights_id: str, sum_of_graph: str) -> bool:
    """Whether a graph says that it refers to these weights. Known by its sum, as others' are large."""
    if not graph.stat().st_size:
        return False
    with graph.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        return data.find(weights_id.encode()) >= 0


def tensor_shapes(source: Folder, name: str) -> dict[str, tuple[int, ...]]:
    """Shapes by tensor name out of a safetensors file's header; the data is not read."""
    with source.file(name).open("rb") as file:
        start = file.read(8)
        length = struct.unpack("<Q", start)[0] if len(start) == 8 else 0
        if not 2 <= length <= _HEADER_LIMIT:
            source.fail(f"{name} is no safetensors file. Fetch the checkpoint again")
        try:
            header = json.loads(file.read(length))
            header.pop("__metadata__", None)
            return {key: tuple(int(n) for n in value["shape"]) for key, value in header.items()}
        except (ValueError, RecursionError, AttributeError, KeyError, TypeError, OverflowError):
            source.fail(f"{name} has a damaged header. Fetch the checkpoint again")


def _declared(source: Folder, booru: Mapping[str, Any]) -> dict[str, Head]:
    said = booru.get("heads")
    if not isinstance(said, dict) or not 1 <= len(said) <= 64:
        source.fail("booru.heads must name the network's heads")
    named = labels.read_labels(source)
    if strange := set(named) - set(said):
        source.fail(f"{files.LABELS} names heads that config.json does not: {', '.join(sorted(strange))}")
    heads: dict[str, Head] = {}
    for name, value in said.items():
        heads[name] = read_head(name, value, named.get(name, ()), heads, source.fail)
    return heads


def _faces(source: Folder, booru: Mapping[str, Any] | None, heads: Mapping[str, Head]) -> FaceSettings:
    settings = FaceSettings.read((booru or {}).get("faces", {"detector": "none"}), source.fail)
    if settings.detector == "heatmap" and not any(head.kind is HeadKind.HEATMAP for head in heads.values()):
        source.fail("booru.faces wants a heatmap head, and there is none")
    return settings


def _implied(
    source: Folder, config: Mapping[str, Any], shapes: Mapping[str, tuple[int, ...]]
) -> tuple[dict[str, Head], dict[str, dict[str, float]]]:
    """Heads of a folder without our section: the embedding, and a WD-shaped folder's tags and rating."""
    timm = config.get("pretrained_cfg")
    classifier = timm.get("classifier") if isinstance(timm, dict) else None
    shape = shapes.get(f"{classifier}.weight", ())
    width = shape[1] if len(shape) >= 2 else config.get("num_features")
    if isinstance(width, bool) or not isinstance(width, int) or not 1 <= width <= 65_536:
        source.fail("config.json gives no usable num_features, the length of the embedding")
    heads = {"embedding": Head("embedding", HeadKind.EMBEDDING, dim=width)}
    if files.WD_LABELS not in source:
        return heads, {}
    listed, best = labels.read_wd_labels(source)
    if len(listed) != config.get("num_classes"):
        source.fail(
            f"{files.WD_LABELS} lists {len(listed)} labels; the network's num_classes differs "
            f"({config.get('num_classes')!r}). Fetch both from one place"
        )
    ratings = [i for i, label in enumerate(listed) if label.category is Category.RATING]
    if ratings:
        grades = list(labels.WD_RATINGS.values())
        heads["rating"] = Head(
            "rating",
            HeadKind.SIGMOID,
            labels=tuple(listed[i] for i in ratings),
            source="classifier",
            rows=tuple(ratings),
            pool=Pool.WORST,
            severity=tuple(float(grades.index(listed[i].name)) for i in ratings),
        )
    rest = [i for i, label in enumerate(listed) if label.category is not Category.RATING]
    heads["tags"] = Head(
        "tags",
        HeadKind.SIGMOID,
        labels=tuple(listed[i] for i in rest),
        source="classifier",
        rows=tuple(rest),
        pool=Pool.MAX,
    )
    thresholds = labels.read_thresholds(source, {h.name: h.labels for h in heads.values() if h.scored})
    for head in heads.values():
        for label, row in zip(head.labels, head.rows, strict=True):
            if row in best:
                thresholds[head.name][label.name] = best[row]
    return heads, thresholds
