"""A checkpoint's whole network in torch: one backbone, every head on it, one forward."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from booru_ml.checkpoint import files
from booru_ml.checkpoint.heads import HeadKind
from booru_ml.errors import CheckpointError
from booru_ml.nn import backbones, heads, tensors
from booru_ml.nn.backbones import Backbone

if TYPE_CHECKING:
    from booru_ml.checkpoint import Checkpoint, Head


class Network(nn.Module):
    """``forward(batch)``: every head's output by its name, for a normalised batch (B, 3, H, W)."""

    def __init__(self, backbone: Backbone, declared: Mapping[str, Head]) -> None:
        super().__init__()
        self.backbone = backbone
        self.heads = nn.ModuleDict()
        widths = {"pooled": backbone.width}
        for name, head in declared.items():
            self.heads[name] = heads.build(head, backbone, widths)
            if head.is_vector:
                widths[name] = head.dim or 0
        self.names = tuple(declared)

    def forward(self, batch: Tensor) -> dict[str, Tensor]:
        features = self.backbone.features(batch)
        found: dict[str, Tensor] = {}
        for name, module in self.heads.items():
            found[name] = module(features, found)
        return found

    def head_state(self) -> dict[str, Tensor]:
        """The heads' own tensors under ``<head>.<tensor>``, as ``heads.safetensors`` holds them."""
        return dict(self.heads.state_dict())


def load(checkpoint: Checkpoint) -> Network:
    """The network with the folder's weights, in evaluation mode on the CPU. Raises ``CheckpointError``."""
    try:
        state = tensors.read(checkpoint.path / files.WEIGHTS)
        model = backbones.load(checkpoint.architecture, checkpoint.model_args, checkpoint.num_classes, state)
        stages = [stage for head in checkpoint.heads.values() for stage in head.stages]
        backbone = Backbone(model, stages)
        given = tensors.read(checkpoint.path / files.HEADS) if files.HEADS in checkpoint.sums else {}
        with torch.device("meta"):  # as the backbone: heads that the file does not hold cost nothing
            _compare(Network(backbone, checkpoint.heads).head_state(), given, checkpoint)
        network = Network(backbone, checkpoint.heads)
        _load_heads(network, given)
    except CheckpointError as error:
        raise CheckpointError(f"Checkpoint {checkpoint.path}: {error.message}", path=str(checkpoint.path)) from error
    return network.eval().requires_grad_(False)


def _compare(wanted: Mapping[str, Tensor], given: Mapping[str, Tensor], checkpoint: Checkpoint) -> None:
    # A vector without a mean of its own is centred at zero.
    plain = {f"{name}.mean" for name, head in checkpoint.heads.items() if head.is_vector}
    wrong = sorted(
        key
        for key in wanted.keys() | given.keys()
        if not (key in plain and key not in given)
        and (key not in wanted or key not in given or wanted[key].shape != given[key].shape)
    )
    if wrong:
        raise CheckpointError(f"{files.HEADS} does not fit config.json: {len(wrong)} tensors differ, as {wrong[0]}.")
    tensors.check(files.HEADS, wanted, given)
    for name, head in checkpoint.heads.items():
        limits = given.get(f"{name}.thresholds")
        if head.kind is HeadKind.ORDINAL and limits is not None and not bool((limits.diff() > 0).all()):
            raise CheckpointError(f"{files.HEADS}: {name}.thresholds must rise from label to label.")


def _load_heads(network: Network, given: Mapping[str, Tensor]) -> None:
    wanted = network.head_state()
    with torch.no_grad():
        for key, tensor in given.items():
            wanted[key].copy_(tensor)
