"""What a checkpoint's config.json says about the network itself: timm's architecture, and the input that it takes."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from booru_ml.checkpoint.values import Fail, numbers, one_of

_ARCHITECTURE = re.compile(r"[a-z0-9_]{1,100}(\.[a-z0-9_]{1,60})?")
# Arguments of timm's factory that would read other files or reach the network.
_LOADERS = re.compile(r"pretrained|checkpoint|cache_dir|file|url|hub")

_MOST = 1_000_000
"""No number of an architecture is larger; one that is would fill the memory before anything is compared."""


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
        size = numbers(timm.get("input_size", [3, 224, 224]), 3, "input_size", fail, low=1, high=4096, whole=True)
        squash = timm.get("crop_mode") == "squash"
        said = {
            "size": [size[2], size[1]],
            "resize": "pad" if wd else "squash" if squash else "crop",
            "channels": "BGR" if wd else "RGB",
            **{key: timm[key] for key in ("interpolation", "mean", "std", "crop_pct") if key in timm},
        }
    width, height = numbers(said.get("size"), 2, "preprocess.size [width, height]", fail, low=8, high=4096, whole=True)
    crop_pct = said.get("crop_pct", 1.0)
    numbers([crop_pct], 1, "preprocess.crop_pct", fail, low=0.1, high=1.0)
    return Preprocess(
        width=int(width),
        height=int(height),
        resize=one_of(said.get("resize", "squash"), ("squash", "pad", "crop"), "preprocess.resize", fail),
        interpolation=one_of(
            said.get("interpolation", "bilinear"),
            ("nearest", "bilinear", "bicubic", "lanczos"),
            "preprocess.interpolation",
            fail,
        ),
        mean=numbers(said.get("mean", [0.0] * 3), 3, "preprocess.mean", fail),
        std=numbers(said.get("std", [1.0] * 3), 3, "preprocess.std", fail, low=1e-6),
        channels=one_of(said.get("channels", "RGB"), ("RGB", "BGR"), "preprocess.channels", fail),
        crop_pct=float(crop_pct),
    )
