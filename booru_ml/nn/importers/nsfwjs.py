"""The MobileNetV2 of the npm package nsfwjs: five classes from "drawing" to "sexy"."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from booru_ml.checkpoint import Checkpoint
from booru_ml.errors import CheckpointError
from booru_ml.nn import network
from booru_ml.nn.importers import card, tfjs
from booru_ml.nn.writing import Draft, write
from booru_ml.types import FloatArray

ARCHITECTURE = "mobilenetv2_100"
MODEL_ARGS = {"pad_type": "same", "bn_eps": 1e-3}
CLASSES = ("drawing", "hentai", "neutral", "porn", "sexy")
# Blocks in each of timm's stages.
STAGES = (1, 2, 3, 4, 3, 3, 1)
TOLERANCE = 1e-4

# Rows g, s, q, e; columns as CLASSES. Each column says what a picture that is surely of this class would be rated.
# The classes are coarser than the ratings: what "drawing" and "neutral" hold is nearly always general, "sexy" is
# suggestive, "hentai" reaches from suggestive to explicit drawings, "porn" is explicit. A prior, not a training.
RATING = (
    (0.90, 0.05, 0.92, 0.02, 0.10),
    (0.08, 0.15, 0.07, 0.05, 0.55),
    (0.02, 0.35, 0.01, 0.18, 0.30),
    (0.00, 0.45, 0.00, 0.75, 0.05),
)
# Rows drawing, photo.
MEDIUM = ((1.0, 1.0, 0.0, 0.0, 0.0), (0.0, 0.0, 1.0, 1.0, 1.0))

_BATCH_NORM = {"gamma": "weight", "beta": "bias", "moving_mean": "running_mean", "moving_variance": "running_var"}


def _blocks() -> dict[str, str]:
    """timm's module of each Keras convolution and batch norm."""
    found = {
        "Conv1": "conv_stem",
        "bn_Conv1": "bn1",
        "expanded_conv_depthwise": "blocks.0.0.conv_dw",
        "expanded_conv_depthwise_BN": "blocks.0.0.bn1",
        "expanded_conv_project": "blocks.0.0.conv_pw",
        "expanded_conv_project_BN": "blocks.0.0.bn2",
        "Conv_1": "conv_head",
        "Conv_1_bn": "bn2",
    }
    places = [f"blocks.{stage}.{index}" for stage, count in enumerate(STAGES) for index in range(count)][1:]
    for number, place in enumerate(places, 1):
        for part, (conv, norm) in {
            "expand": ("conv_pw", "bn1"),
            "depthwise": ("conv_dw", "bn2"),
            "project": ("conv_pwl", "bn3"),
        }.items():
            found[f"block_{number}_{part}"] = f"{place}.{conv}"
            found[f"block_{number}_{part}_BN"] = f"{place}.{norm}"
    return found


def converted(model: tfjs.KerasModel) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Backbone tensors under timm's names, and the three dense layers as those of head ``nsfw``."""
    places = _blocks()
    weights: dict[str, Tensor] = {}
    heads: dict[str, Tensor] = {}
    for key, value in model.weights.items():
        layer, _, tensor = key.partition("/")
        if layer.startswith("dense_"):
            name = f"nsfw.layers.{int(layer.removeprefix('dense_')) - 1}"
            heads[f"{name}.weight" if tensor == "kernel" else f"{name}.bias"] = _tensor(value.T)
        elif tensor in ("kernel", "depthwise_kernel"):
            axes = (3, 2, 0, 1) if tensor == "kernel" else (2, 3, 0, 1)
            weights[f"{places[layer]}.weight"] = _tensor(value.transpose(axes))
        else:
            weights[f"{places[layer]}.{_BATCH_NORM[tensor]}"] = _tensor(value)
            weights[f"{places[layer]}.num_batches_tracked"] = torch.tensor(0)
    return weights, heads


def _tensor(value: FloatArray) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(value))


def config() -> dict[str, Any]:
    return {
        "architecture": ARCHITECTURE,
        "num_classes": 0,
        "num_features": 1280,
        "global_pool": "avg",
        "model_args": MODEL_ARGS,
        "pretrained_cfg": {
            "tag": "nsfwjs",
            "custom_load": False,
            "input_size": [3, 224, 224],
            "fixed_input_size": False,
            "interpolation": "bilinear",
            "crop_pct": 1.0,
            "crop_mode": "squash",
            "mean": [0.0, 0.0, 0.0],
            "std": [1.0, 1.0, 1.0],
            "num_classes": 0,
            "pool_size": [7, 7],
            "first_conv": "conv_stem",
            "classifier": "classifier",
            "license": "mit",
        },
        "booru": {
            "format": 1,
            "name": "nsfwjs",
            "preprocess": {
                "size": [224, 224],
                "resize": "squash",
                "interpolation": "bilinear",
                "mean": [0.0, 0.0, 0.0],
                "std": [1.0, 1.0, 1.0],
                "channels": "RGB",
            },
            "heads": {
                "nsfw": {"kind": "softmax", "hidden": [256, 128], "pool": "worst", "severity": [0, 2, 0, 3, 1]},
                "rating": {"kind": "softmax", "source": "nsfw", "matrix": [list(row) for row in RATING]},
                "medium": {"kind": "softmax", "source": "nsfw", "matrix": [list(row) for row in MEDIUM]},
            },
            "faces": {"detector": "none"},
        },
    }


LABELS = (
    *(("nsfw", name, "rating") for name in CLASSES),
    *(("rating", name, "rating") for name in "gsqe"),
    ("medium", "drawing", "meta"),
    ("medium", "photo", "meta"),
)
# On safe drawings hentai + porn together reach 0.31, so nothing under 0.35 may count. Of close-ups and sketches one in
# twenty is a photograph by 0.99 or more.
THRESHOLDS = (
    ("nsfw", "", "", 0.5),
    ("nsfw", "", "hentai", 0.4),
    ("nsfw", "", "porn", 0.4),
    ("rating", "", "", 0.5),
    ("rating", "", "e", 0.6),
    ("medium", "", "", 0.998),
)


def build(target: Path, package: Path) -> Checkpoint:
    """Writes the folder after proving it against a forward of the package's own graph.

    Raises ``CheckpointError`` where a probability differs by more than ``TOLERANCE``; then nothing is kept.
    """
    model = tfjs.read(package)
    weights, heads = converted(model)

    def faithful(checkpoint: Checkpoint) -> None:
        worst = difference(checkpoint, model)
        if not worst <= TOLERANCE:
            raise CheckpointError(f"The converted network differs from the original by {worst:.1e}; nothing was kept.")

    draft = Draft(config(), weights, heads, LABELS, THRESHOLDS, card("nsfwjs"))
    return write(target, draft, check=faithful)


def difference(checkpoint: Checkpoint, model: tfjs.KerasModel) -> float:
    """Largest difference of a probability between the converted network and the original graph, over test patterns."""
    rows, columns = np.mgrid[0:224, 0:224].astype(np.float32)
    noise = np.random.default_rng(0).random((224, 224, 3), np.float32)
    blocks = np.kron(np.random.default_rng(1).random((14, 14, 3)), np.ones((16, 16, 1))).astype(np.float32)
    ramps = np.stack([rows, columns, (rows + columns) / 2], axis=-1) / 224
    batch = np.stack([noise, blocks, ramps, np.ones_like(noise)])
    net = network.load(checkpoint)
    with torch.inference_mode():
        ours = net(torch.from_numpy(batch.transpose(0, 3, 1, 2).copy()))["nsfw"].numpy()
    return float(np.abs(ours - tfjs.forward(model, batch)).max())
