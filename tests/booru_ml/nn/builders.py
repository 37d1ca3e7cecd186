"""Checkpoint folders with random weights, made as their authors would make them."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import timm
import torch

from booru_ml.checkpoint import Checkpoint, pin
from booru_ml.checkpoint.heads import head as read_head
from booru_ml.nn import backbones
from booru_ml.nn.network import Network
from booru_ml.nn.writing import Draft, write

SMALL = "test_efficientnet"


def plain_timm(folder: Path, architecture: str, **model_args: Any) -> Checkpoint:
    """As timm's own ``save_for_hf`` writes it, with sums."""
    from timm.models import save_for_hf

    torch.manual_seed(0)
    model = timm.create_model(architecture, **model_args)
    extra = {key: value for key, value in model_args.items() if key != "num_classes"}
    save_for_hf(model, str(folder), model_args=extra or None, safe_serialization=True)
    pin(folder)
    return Checkpoint.load(folder)


def tagger(folder: Path, architecture: str, tags: list[tuple[str, int]], **model_args: Any) -> Checkpoint:
    """A folder of the shape of the published WD taggers."""
    plain_timm(folder, architecture, num_classes=len(tags), **model_args)
    config = json.loads((folder / "config.json").read_text())
    config["pretrained_cfg"] |= {"mean": [0.5] * 3, "std": [0.5] * 3, "interpolation": "bicubic", "crop_pct": 1.0}
    (folder / "config.json").write_text(json.dumps(config))
    with (folder / "selected_tags.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["tag_id", "name", "category", "count"])
        writer.writerows((number, name, category, 1) for number, (name, category) in enumerate(tags))
    pin(folder)
    return Checkpoint.load(folder)


HEADS: dict[str, dict[str, Any]] = {
    "embedding": {"kind": "embedding", "dim": 16, "projected": True},
    "style": {"kind": "style", "stages": [0, 1], "dim": 80},
    "quality": {"kind": "ordinal", "inputs": ["pooled", "style"], "hidden": [8]},
    "tags": {"kind": "sigmoid", "inputs": ["embedding"]},
    "kind": {"kind": "softmax"},
    "coarse": {"kind": "softmax", "source": "kind", "matrix": [[1, 0.5, 0], [0, 0.5, 1]]},
    "faces": {"kind": "heatmap", "stages": [2], "hidden": [8], "channels": ["centre", "width", "height"]},
}
LABELS = [
    *(("quality", name, "quality") for name in ("poor", "rough", "fine")),
    *(("tags", name, "general") for name in ("sky", "sea")),
    *(("kind", name, "meta") for name in ("a", "b", "c")),
    *(("coarse", name, "meta") for name in ("x", "y")),
]


def every_head(folder: Path, *, seed: int = 1) -> Checkpoint:
    """A small backbone with a head of every kind, all weights random."""
    from booru_ml.checkpoint.heads import Label
    from booru_ml.types import Category

    torch.manual_seed(seed)
    model = backbones.create(SMALL, {}, 0)
    declared: dict[str, Any] = {}
    for name, said in HEADS.items():
        labels = tuple(Label(label, Category(category)) for head, label, category in LABELS if head == name)
        declared[name] = read_head(name, said, labels, declared, _fail)
    net = Network(backbones.Backbone(model, [0, 1, 2]), declared)
    heads = {key: torch.randn_like(value) * 0.3 for key, value in net.head_state().items() if value.is_floating_point()}
    heads["quality.thresholds"] = torch.tensor([-0.4, 0.5])
    config = {
        "architecture": SMALL,
        "num_classes": 0,
        "booru": {
            "format": 1,
            "name": "every-head",
            "preprocess": {"size": [96, 96], "mean": [0.5] * 3, "std": [0.5] * 3},
            "heads": HEADS,
            "faces": {"detector": "heatmap", "threshold": 0.0},
        },
    }
    return write(folder, Draft(config, model.state_dict(), heads, LABELS, [], "# every head\n"))


def _fail(message: str) -> None:
    raise AssertionError(message)
