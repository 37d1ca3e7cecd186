"""What to train: a network by timm's name or a paper's, from weights on this machine or from nothing."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import timm
import torch
from torch import nn

from booru_ml.errors import CheckpointError, InvalidInput
from booru_ml.nn import backbones, network

if TYPE_CHECKING:
    from booru_ml.checkpoint import Checkpoint

PAPERS: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "mobilenetv2": ("mobilenetv2_100", {}),
    # Seven pairs of convolutions instead of nine make fourteen layers with stem and classifier.
    "resnet14": ("resnet18", {"layers": [1, 2, 2, 1]}),
    "inceptionv3": ("inception_v3", {}),
    "inceptionresnetv2": ("inception_resnet_v2", {}),
    "efficientnetb0": ("efficientnet_b0", {}),
    "efficientnetb7": ("tf_efficientnet_b7", {}),
    "efficientnetlite0": ("tf_efficientnet_lite0", {}),
    "vitb16": ("vit_base_patch16_224", {}),
    "vitb32": ("vit_base_patch32_224", {}),
    "vitl16": ("vit_large_patch16_224", {}),
    "vitl32": ("vit_large_patch32_224", {}),
    "conv2d": ("conv2d_2layer", {}),
}
"""The papers' names without capitals, hyphens and spaces; timm's own are taken as they are."""
HALF = (0.5, 0.5, 0.5)
UNTRAINED = "untrained"
"""The origin of what starts from nothing ends so."""


@dataclass(frozen=True)
class Start:
    """A network before its first lesson, without classifier, and how pictures have to be brought to it."""

    architecture: str
    model_args: Mapping[str, Any]
    model: nn.Module
    mean: tuple[float, ...]
    std: tuple[float, ...]
    interpolation: str
    origin: str
    config: Mapping[str, Any] = field(default_factory=dict)


def from_checkpoint(base: Checkpoint, *, size: int) -> Start:
    """The backbone of a checkpoint folder. Raises ``InvalidInput`` where it cannot see ``size`` pixels."""
    if base.preprocess.channels != "RGB":
        raise InvalidInput(
            f"{base.version} takes BGR pictures; start from --weights with its model.safetensors instead."
        )
    model: Any = network.load(base).backbone.model.requires_grad_(True)
    model.reset_classifier(0)
    args = dict(base.model_args)
    if hasattr(model, "set_input_size") and size != base.preprocess.width:
        model.set_input_size(img_size=(size, size))
        args["img_size"] = size
    look = base.preprocess
    _try(model, base.architecture, size)
    return Start(base.architecture, args, model, look.mean, look.std, look.interpolation, base.version)


def from_name(name: str, *, size: int, weights: Path | None = None, pretrained: bool = False, seed: int = 0) -> Start:
    """A network by name: random (by ``seed``), with the tensors of a ``weights`` file under timm's names, or
    ``pretrained`` with timm's own weights as far as they are on this machine. Raises ``InvalidInput``."""
    architecture, args = _named(name)
    if not timm.is_model(architecture):
        near = ", ".join(timm.list_models(f"*{re.split(r'[-_. ]', architecture)[0]}*")[:5])
        raise InvalidInput(
            f"timm {timm.__version__} knows no architecture {name!r}{f'; it has {near} …' if near else ''}."
        )
    args = _sized(architecture, args, size)
    file = weights or (_local_weights(architecture) if pretrained else None)
    torch.manual_seed(seed)
    model = _filled(architecture, args, file) if file else backbones.create(architecture, args, 0)
    _try(model, architecture, size)
    # Random weights have no habits; half and half is as good as any.
    cfg: Mapping[str, Any] = (getattr(model, "pretrained_cfg", None) or {}) if file else {}
    mean, std = cfg.get("mean", HALF), cfg.get("std", HALF)
    how = cfg.get("interpolation", "bilinear")
    known = how if how in ("bilinear", "bicubic", "lanczos") else "bilinear"
    origin = f"{architecture}, {file.name}" if file else f"{architecture}, {UNTRAINED}"
    return Start(architecture, args, model, tuple(mean), tuple(std), known, origin)


def _named(name: str) -> tuple[str, Mapping[str, Any]]:
    """timm's name and arguments: of an exact name of timm's, of a paper's (InceptionV3), or of one of timm's written
    in a paper's way (ResNet-18)."""
    plain = re.sub(r"[-_/ ]", "", name.lower())
    if not timm.is_model(name.lower()):
        if plain in PAPERS:
            return PAPERS[plain]
        if timm.is_model(plain):
            return plain, {}
    return name.lower(), {}


def _sized(architecture: str, args: Mapping[str, Any], size: int) -> dict[str, Any]:
    """Networks whose tensors depend on the pictures' size (ViT, Swin) have to be told it; the others refuse to."""
    try:
        with torch.device("meta"):
            backbones.create(architecture, {**args, "img_size": size}, 0)
    except CheckpointError as error:
        if "unexpected keyword" in error.message:
            return dict(args)
        raise InvalidInput(f"{architecture} cannot take pictures of {size} pixels: {error.message}") from error
    return {**args, "img_size": size}


def _filled(architecture: str, args: Mapping[str, Any], file: Path) -> nn.Module:
    if not file.is_file():
        raise InvalidInput(f"{file} is no file; --weights takes a .safetensors file with tensors under timm's names.")
    if file.suffix != ".safetensors":
        raise InvalidInput(f"{file.name} is no .safetensors file; other formats can run code when they are opened.")
    try:
        model: nn.Module = timm.create_model(
            architecture, pretrained=True, pretrained_cfg_overlay={"file": str(file)}, num_classes=0, **args
        )
    except (RuntimeError, KeyError, ValueError, AttributeError, OSError) as error:
        raise InvalidInput(f"{file.name} holds no weights of {architecture}: {str(error)[:300]}") from error
    return model


def _local_weights(architecture: str) -> Path:
    """timm's published weights in the Hugging Face cache; nothing is ever fetched here. Raises ``InvalidInput``."""
    from huggingface_hub import try_to_load_from_cache

    cfg = timm.get_pretrained_cfg(architecture)
    repository = cfg.hf_hub_id if cfg else None
    if not repository:
        raise InvalidInput(
            f"timm publishes no weights of {architecture}; name a file by --weights or a folder by --base."
        )
    found = try_to_load_from_cache(repository, "model.safetensors")
    if not isinstance(found, str):
        raise InvalidInput(
            f"The weights of {architecture} are not on this machine, and training fetches nothing. "
            f"Fetch them first (hf download {repository} model.safetensors), or name a file by --weights."
        )
    return Path(found)


def _try(model: nn.Module, architecture: str, size: int) -> None:
    """One look at nothing: small pictures do not survive every network."""
    was = model.training
    try:
        with torch.no_grad():
            backbones.Backbone(model.eval()).features(torch.zeros(1, 3, size, size))
    except (RuntimeError, AssertionError, ValueError) as error:
        raise InvalidInput(f"{architecture} cannot take pictures of {size} pixels: {str(error)[:200]}") from error
    model.train(was)
