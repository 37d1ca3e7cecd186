"""What a checkpoint's config.json may say, checked value by value."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from booru_ml.types import Category

Fail = Callable[[str], Any]

NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,39}")
HEAD_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,39}")
_ARCHITECTURE = re.compile(r"[a-z0-9_]{1,100}(\.[a-z0-9_]{1,60})?")
# Arguments of timm's factory that would read other files or reach the network.
_LOADERS = re.compile(r"pretrained|checkpoint|cache_dir|file|url|hub")

_MOST = 1_000_000
"""No number of an architecture is larger; one that is would fill the memory before anything is compared."""


class HeadKind(StrEnum):
    EMBEDDING = "embedding"
    STYLE = "style"
    SOFTMAX = "softmax"
    SIGMOID = "sigmoid"
    ORDINAL = "ordinal"
    HEATMAP = "heatmap"


_VECTORS = (HeadKind.EMBEDDING, HeadKind.STYLE)
_SCORED = (HeadKind.SOFTMAX, HeadKind.SIGMOID, HeadKind.ORDINAL)


class Statistic(StrEnum):
    """What a vector head takes of feature maps: means and deviations of channels, correlations of each two."""

    MOMENTS = "moments"
    CORRELATIONS = "correlations"


MOMENTS = (Statistic.MOMENTS,)
WIDEST = 128
MOST_HIDDEN = 16


class Pool(StrEnum):
    """How an animation's frames become one answer."""

    MEAN = "mean"
    MAX = "max"
    WORST = "worst"


@dataclass(frozen=True, slots=True)
class Preprocess:
    """From a frame to the network's input, as it was in training.

    ``resize``: ``squash`` to size; ``pad`` to a centred white square first; ``crop`` the centre after the shorter side
    became size / ``crop_pct``. ``mean`` and ``std`` are of values in 0–1, in the order of ``channels``.
    """

    width: int
    height: int
    resize: str = "squash"
    interpolation: str = "bilinear"
    mean: tuple[float, float, float] = (0.0, 0.0, 0.0)
    std: tuple[float, float, float] = (1.0, 1.0, 1.0)
    channels: str = "RGB"
    crop_pct: float = 1.0


@dataclass(frozen=True, slots=True)
class Label:
    name: str
    category: Category


@dataclass(frozen=True, slots=True)
class Head:
    """One answer of the network.

    ``labels``: of softmax, sigmoid and ordinal heads, in the order of their outputs. ``dim``: length of an embedding
    or style vector. ``inputs``: which vectors (``pooled``, ``embedding``, ``style``) feed it, joined. ``stages``: which
    of the backbone's feature maps (index in timm's ``feature_info``) feed it (an embedding without them: the pooled
    features); ``statistics``: what a vector takes of these maps, correlations of ``widest`` channels at most;
    ``regions``: the thirds whose means join them. ``source`` is the head whose probabilities ``matrix`` (rows: own
    labels, columns: the source's) turns into this one's, or ``classifier`` for the backbone's own last layer, whose
    ``rows`` it takes. ``channels`` name a heatmap's planes.
    ``hidden``: widths of the layers between input and output; ``kernel``: size of a heatmap's convolutions, pixels;
    ``projected``: whether an embedding goes through a matrix of the weights.
    """

    name: str
    kind: HeadKind
    labels: tuple[Label, ...] = ()
    dim: int | None = None
    inputs: tuple[str, ...] = ("pooled",)
    stages: tuple[int, ...] = ()
    regions: tuple[str, ...] = ()
    statistics: tuple[Statistic, ...] = MOMENTS
    widest: int = WIDEST
    source: str = ""
    matrix: tuple[tuple[float, ...], ...] = ()
    rows: tuple[int, ...] = ()
    channels: tuple[str, ...] = ()
    pool: Pool = Pool.MEAN
    severity: tuple[float, ...] = ()
    hidden: tuple[int, ...] = ()
    kernel: int = 3
    projected: bool = False

    @property
    def is_vector(self) -> bool:
        return self.kind in _VECTORS

    @property
    def scored(self) -> bool:
        """Whether it gives probabilities over labels."""
        return self.kind in _SCORED


def _numbers(
    value: Any, count: int | None, what: str, fail: Fail, *, low: float = -1e6, high: float = 1e6, whole: bool = False
) -> Any:
    if not isinstance(value, list) or (count is not None and len(value) != count):
        fail(f"{what} must be a list of {count if count is not None else 'some'} numbers")
    for item in value:
        if isinstance(item, bool) or not isinstance(item, int | float) or not (low <= item <= high):
            fail(f"{what} must hold numbers between {low} and {high}, not {item!r}")
        if whole and item != int(item):
            fail(f"{what} must hold whole numbers, not {item!r}")
    return tuple(value)


def _one_of(value: Any, choices: tuple[str, ...], what: str, fail: Fail) -> str:
    if value not in choices:
        fail(f"{what} must be one of {', '.join(choices)}, not {value!r}")
    return str(value)


def architecture(config: Mapping[str, Any], fail: Fail) -> tuple[str, dict[str, Any], int]:
    """timm's model name, its arguments and the width of its own classifier (0: none)."""
    name = config.get("architecture")
    if not isinstance(name, str) or not _ARCHITECTURE.fullmatch(name):
        fail(f"architecture must be the name of a timm model, not {name!r}")
    args = config.get("model_args") or {}
    if not isinstance(args, dict):
        fail("model_args must be an object")
    for key in args:
        if _LOADERS.search(str(key)):
            fail(f"model_args may not hold {key!r}: weights come from the folder's own files only")
        if key != "num_classes" and _largest(args[key]) > _MOST:
            fail(f"model_args.{key} holds a number that is too large for any network, {str(args[key])[:60]}")
    args = dict(args)
    if args.get("in_chans", 3) != 3:
        fail("model_args.in_chans must be 3: pictures have three channels")
    # timm writes the number of classes in both places.
    classes = args.pop("num_classes", config.get("num_classes", 0))
    if isinstance(classes, bool) or not isinstance(classes, int) or not 0 <= classes <= 10_000_000:
        fail("num_classes must be a whole number from 0 to 10,000,000")
    return str(name), args, classes


def _largest(value: Any) -> float:
    if isinstance(value, dict | list):
        return max((_largest(item) for item in (value.values() if isinstance(value, dict) else value)), default=0.0)
    return abs(value) if isinstance(value, int | float) else 0.0


def preprocess(config: Mapping[str, Any], *, wd: bool, fail: Fail) -> Preprocess:
    """``booru.preprocess``, else what timm's own section says; a folder of WD's shape pads, and takes BGR."""
    booru = config.get("booru") or {}
    said = booru.get("preprocess") if isinstance(booru, dict) else None
    if said is not None and not isinstance(said, dict):
        fail("booru.preprocess must be an object")
    timm = config.get("pretrained_cfg") or config
    if not isinstance(timm, dict):
        fail("pretrained_cfg must be an object")
    if said is None:
        size = _numbers(timm.get("input_size", [3, 224, 224]), 3, "input_size", fail, low=1, high=4096, whole=True)
        squash = timm.get("crop_mode") == "squash"
        said = {
            "size": [size[2], size[1]],
            "resize": "pad" if wd else "squash" if squash else "crop",
            "channels": "BGR" if wd else "RGB",
            **{key: timm[key] for key in ("interpolation", "mean", "std", "crop_pct") if key in timm},
        }
    width, height = _numbers(said.get("size"), 2, "preprocess.size [width, height]", fail, low=8, high=4096, whole=True)
    crop_pct = said.get("crop_pct", 1.0)
    _numbers([crop_pct], 1, "preprocess.crop_pct", fail, low=0.1, high=1.0)
    return Preprocess(
        width=int(width),
        height=int(height),
        resize=_one_of(said.get("resize", "squash"), ("squash", "pad", "crop"), "preprocess.resize", fail),
        interpolation=_one_of(
            said.get("interpolation", "bilinear"),
            ("nearest", "bilinear", "bicubic", "lanczos"),
            "preprocess.interpolation",
            fail,
        ),
        mean=_numbers(said.get("mean", [0.0] * 3), 3, "preprocess.mean", fail),
        std=_numbers(said.get("std", [1.0] * 3), 3, "preprocess.std", fail, low=1e-6),
        channels=_one_of(said.get("channels", "RGB"), ("RGB", "BGR"), "preprocess.channels", fail),
        crop_pct=float(crop_pct),
    )


def head(name: str, said: Any, labels: tuple[Label, ...], earlier: Mapping[str, Head], fail: Fail) -> Head:
    """One entry of ``booru.heads``; ``earlier`` are the entries above it, which it may build on."""
    where = f"booru.heads.{name}"
    if not HEAD_NAME.fullmatch(name) or not isinstance(said, dict):
        fail(f"{where} must be a lower-case name without dots, with an object")
    kinds = tuple(HeadKind)
    if said.get("kind") not in kinds:
        fail(f"{where}.kind {said.get('kind')!r} is unknown here ({', '.join(kinds)}). A newer release may read it")
    kind = HeadKind(said["kind"])
    dim = said.get("dim")
    if dim is not None:
        dim = int(_numbers([dim], 1, f"{where}.dim", fail, low=1, high=65_536, whole=True)[0])
    if kind in _VECTORS and dim is None:
        fail(f"{where}.dim must say how long the vector is")
    if kind in _SCORED and len(labels) < 1 + (kind != HeadKind.SIGMOID):
        fail(f"{where} has no labels. Name them in labels.csv (columns head, name, category)")
    inputs = said.get("inputs", ["pooled"])
    known = {"pooled"} | _vectors(earlier)
    if not isinstance(inputs, list) or not inputs or not all(isinstance(x, str) and x in known for x in inputs):
        fail(f"{where}.inputs must be a list of pooled and of embedding or style heads named above it")
    stages = _numbers(said.get("stages", []), None, f"{where}.stages", fail, low=0, high=63, whole=True)
    if kind in (HeadKind.STYLE, HeadKind.HEATMAP) and not stages:
        fail(f"{where}.stages must name the feature maps it looks at")
    regions = said.get("regions", [])
    if not isinstance(regions, list) or not all(region in ("upper", "middle", "lower") for region in regions):
        fail(f"{where}.regions must be a list of upper, middle and lower")
    statistics, widest = _statistics(where, said, fail)
    channels = said.get("channels", [])
    if not isinstance(channels, list) or not all(isinstance(c, str) and NAME.fullmatch(c) for c in channels):
        fail(f"{where}.channels must be a list of names")
    if kind is HeadKind.HEATMAP and not channels:
        fail(f"{where}.channels must name its planes")
    hidden = _numbers(said.get("hidden", []), None, f"{where}.hidden", fail, low=1, high=65_536, whole=True)
    if len(hidden) > MOST_HIDDEN:
        fail(f"{where}.hidden has {len(hidden)} layers, of {MOST_HIDDEN} at most")
    kernel = said.get("kernel", 3)
    if isinstance(kernel, bool) or not isinstance(kernel, int) or kernel not in (1, 3, 5, 7):
        fail(f"{where}.kernel must be 1, 3, 5 or 7")
    source, matrix = _derivation(where, said, labels, earlier, fail)
    severity = _numbers(said.get("severity", []), None, f"{where}.severity", fail)
    ratings = all(label.category is Category.RATING for label in labels) and [x.name for x in labels] == list("gsqe")
    if ratings and not severity:
        severity = (0.0, 1.0, 2.0, 3.0)
    default = Pool.MAX if kind is HeadKind.SIGMOID else Pool.WORST if severity else Pool.MEAN
    pool = Pool(_one_of(said.get("pool", default), tuple(Pool), f"{where}.pool", fail))
    if pool is Pool.WORST and len(severity) != len(labels):
        fail(f"{where}.severity must give one number per label")
    return Head(
        name=name,
        kind=kind,
        labels=labels,
        dim=dim,
        inputs=tuple(inputs),
        stages=tuple(int(stage) for stage in stages),
        regions=tuple(regions),
        statistics=statistics,
        widest=widest,
        source=source,
        matrix=matrix,
        rows=tuple(range(len(labels))) if source == "classifier" else (),
        channels=tuple(channels),
        pool=pool,
        severity=severity,
        hidden=tuple(int(n) for n in hidden),
        kernel=kernel,
        projected=said.get("projected") is True,
    )


def _statistics(where: str, said: Mapping[str, Any], fail: Fail) -> tuple[tuple[Statistic, ...], int]:
    statistics, widest = said.get("statistics", list(MOMENTS)), said.get("widest", WIDEST)
    if not isinstance(statistics, list) or not statistics or not all(one in tuple(Statistic) for one in statistics):
        fail(f"{where}.statistics must be a list of {' and '.join(Statistic)}")
    if isinstance(widest, bool) or not isinstance(widest, int) or not 2 <= widest <= 256:
        fail(f"{where}.widest must be a whole number of channels from 2 to 256")
    if "statistics" in said and (said["kind"] not in _VECTORS or not said.get("stages")):
        fail(f"{where}.statistics are of feature maps: an embedding or style head takes them, by its stages")
    return tuple(Statistic(one) for one in statistics), widest


def _vectors(earlier: Mapping[str, Head]) -> set[str]:
    return {name for name, head in earlier.items() if head.is_vector}


def _derivation(
    where: str, said: Mapping[str, Any], labels: tuple[Label, ...], earlier: Mapping[str, Head], fail: Fail
) -> tuple[str, tuple[tuple[float, ...], ...]]:
    source = said.get("source", "")
    if source in ("", "classifier"):
        return source, ()
    if not isinstance(source, str) or source not in earlier or earlier[source].kind is not HeadKind.SOFTMAX:
        fail(f"{where}.source must be classifier or a softmax head named above it, not {source!r}")
    matrix = said.get("matrix", [])
    if said["kind"] != HeadKind.SOFTMAX or not isinstance(matrix, list) or len(matrix) != len(labels):
        fail(f"{where}.matrix must have one row for each of the softmax head's {len(labels)} labels")
    width = len(earlier[source].labels)
    rows = tuple(_numbers(row, width, f"{where}.matrix", fail, low=0.0, high=1.0) for row in matrix)
    if any(not math.isclose(sum(column), 1.0, abs_tol=1e-6) for column in zip(*rows, strict=True)):
        fail(f"{where}.matrix: every column must add up to 1, so that probabilities stay probabilities")
    return source, rows
