"""timm backbones by a checkpoint's own words: one forward gives the pooled features and every map a head asks for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import timm
import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from booru_ml.checkpoint import files
from booru_ml.errors import CheckpointError
from booru_ml.nn import small, tensors  # noqa: F401  (timm knows the small ones from here on)


class Features(NamedTuple):
    """``pooled`` (B, D), before any classifier; ``maps`` (B, C, H, W) by stage, its index in ``feature_info``."""

    pooled: Tensor
    maps: Mapping[int, Tensor]


class Backbone(nn.Module):
    """A timm model that also gives its intermediate maps, of ``stages`` only, out of the same forward."""

    def __init__(self, model: nn.Module, stages: Sequence[int] = ()) -> None:
        super().__init__()
        self.model = model
        self.stages = tuple(sorted(set(stages)))
        info = _stage_info(model)
        if self.stages and (self.stages[-1] >= len(info) or not hasattr(model, "forward_intermediates")):
            raise CheckpointError(
                f"{type(model).__name__} has feature maps 0 to {len(info) - 1}; a head asks for {self.stages[-1]}."
            )
        self.channels = {stage: int(info[stage]["num_chs"]) for stage in self.stages}
        self.strides = {stage: int(info[stage]["reduction"]) for stage in self.stages}

    @property
    def width(self) -> int:
        """Length of the pooled features."""
        model: Any = self.model
        return int(getattr(model, "head_hidden_size", None) or model.num_features)

    @property
    def classifier(self) -> nn.Module:
        return self.model.get_classifier()  # type: ignore[no-any-return, operator]

    def features(self, batch: Tensor) -> Features:
        """Pooled features and the maps of ``stages`` for a normalised batch (B, 3, H, W)."""
        model: Any = self.model
        if not self.stages:
            return Features(model.forward_head(model.forward_features(batch), pre_logits=True), {})
        final, maps = model.forward_intermediates(batch, indices=list(self.stages), output_fmt="NCHW")
        pooled = model.forward_head(final, pre_logits=True)
        return Features(pooled, dict(zip(self.stages, maps, strict=True)))

    forward = features


def _stage_info(model: nn.Module) -> list[dict[str, Any]]:
    info: Any = getattr(model, "feature_info", [])
    return list(info.info if hasattr(info, "info") else info)


def stage_of_stride(model: nn.Module, stride: int) -> int:
    """The last stage whose map has this stride. Raises ``CheckpointError`` where the backbone has none."""
    found = [index for index, stage in enumerate(_stage_info(model)) if stage.get("reduction") == stride]
    if not found:
        raise CheckpointError(f"{type(model).__name__} has no feature map of stride {stride}.")
    return found[-1]


def create(architecture: str, model_args: Mapping[str, Any], num_classes: int) -> nn.Module:
    """An untrained timm model; never reaches for weights of its own. Raises ``CheckpointError``."""
    if not timm.is_model(architecture):
        raise CheckpointError(f"timm {timm.__version__} knows no architecture {architecture!r}; a newer timm may.")
    try:
        model: nn.Module = timm.create_model(architecture, pretrained=False, num_classes=num_classes, **model_args)
    except Exception as error:  # whatever a strange argument leads timm to
        said = files.short(f"{dict(model_args)}: {str(error) or type(error).__name__}")
        raise CheckpointError(f"timm cannot build {architecture} with {said}") from error
    return model.eval()


class _Bounded(TorchFunctionMode):
    """Ends the making of a model with far more tensors than a file has: a depth of 100,000 would take an hour."""

    def __init__(self, count: int) -> None:
        super().__init__()
        self.tensors, self.left = count, 100 * count + 20_000  # calls of torch; some tens make and fill a tensor

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.left -= 1
        if self.left < 0:
            raise ValueError(f"it would have far more tensors than the {self.tensors:,} of the file")
        return func(*args, **(kwargs or {}))


def load(architecture: str, model_args: Mapping[str, Any], num_classes: int, state: Mapping[str, Tensor]) -> nn.Module:
    """The model with exactly these tensors.

    It is laid out without memory first and compared with the tensors' shapes, so a configuration that describes more
    than its file holds costs nothing. What a network works out by itself (Swin's masks) is left out: earlier releases
    of timm wrote that down, too.
    """
    with torch.device("meta"), _Bounded(len(state)):
        plan = create(architecture, model_args, num_classes)
    wanted = {key: tuple(tensor.shape) for key, tensor in plan.state_dict().items()}
    derived = {key for key, _ in plan.named_buffers()} - wanted.keys()
    state = {key: tensor for key, tensor in state.items() if key not in derived}
    given = {key: tuple(tensor.shape) for key, tensor in state.items()}
    if wanted != given:
        keys = sorted(key for key in wanted.keys() | given.keys() if wanted.get(key) != given.get(key))
        raise CheckpointError(
            f"The weights do not fit {architecture}: {len(keys)} tensors differ, the first is {keys[0]} "
            f"(file: {given.get(keys[0])}, architecture: {wanted.get(keys[0])})."
        )
    tensors.check(files.WEIGHTS, plan.state_dict(), state)
    model = create(architecture, model_args, num_classes)
    model.load_state_dict(dict(state))
    return model
