"""What a network answers: ``booru.heads`` of a checkpoint's config.json, checked value by value."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from booru_ml.checkpoint.values import NAME, Fail, numbers, one_of
from booru_ml.types import Category

HEAD_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,39}")


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
        dim = int(numbers([dim], 1, f"{where}.dim", fail, low=1, high=65_536, whole=True)[0])
    if kind in _VECTORS and dim is None:
        fail(f"{where}.dim must say how long the vector is")
    if kind in _SCORED and len(labels) < 1 + (kind != HeadKind.SIGMOID):
        fail(f"{where} has no labels. Name them in labels.csv (columns head, name, category)")
    inputs = said.get("inputs", ["pooled"])
    known = {"pooled"} | _vectors(earlier)
    if not isinstance(inputs, list) or not inputs or not all(isinstance(x, str) and x in known for x in inputs):
        fail(f"{where}.inputs must be a list of pooled and of embedding or style heads named above it")
    stages = numbers(said.get("stages", []), None, f"{where}.stages", fail, low=0, high=63, whole=True)
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
    hidden = numbers(said.get("hidden", []), None, f"{where}.hidden", fail, low=1, high=65_536, whole=True)
    if len(hidden) > MOST_HIDDEN:
        fail(f"{where}.hidden has {len(hidden)} layers, of {MOST_HIDDEN} at most")
    kernel = said.get("kernel", 3)
    if isinstance(kernel, bool) or not isinstance(kernel, int) or kernel not in (1, 3, 5, 7):
        fail(f"{where}.kernel must be 1, 3, 5 or 7")
    source, matrix = _derivation(where, said, labels, earlier, fail)
    severity = numbers(said.get("severity", []), None, f"{where}.severity", fail)
    ratings = all(label.category is Category.RATING for label in labels) and [x.name for x in labels] == list("gsqe")
    if ratings and not severity:
        severity = (0.0, 1.0, 2.0, 3.0)
    default = Pool.MAX if kind is HeadKind.SIGMOID else Pool.WORST if severity else Pool.MEAN
    pool = Pool(one_of(said.get("pool", default), tuple(Pool), f"{where}.pool", fail))
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
    rows = tuple(numbers(row, width, f"{where}.matrix", fail, low=0.0, high=1.0) for row in matrix)
    if any(not math.isclose(sum(column), 1.0, abs_tol=1e-6) for column in zip(*rows, strict=True)):
        fail(f"{where}.matrix: every column must add up to 1, so that probabilities stay probabilities")
    return source, rows
