"""An encoder that learns from another one instead of from names (distillation: Hinton et al. 2015).

The teacher sees a part of a picture as it is, the pupil the same part varied, and has to give the teacher's vector. So
a small network takes over what a large one knows, and one that knows characters by their colours learns to do without.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional

from booru_ml.checkpoint import HeadKind
from booru_ml.errors import InvalidInput
from booru_ml.nn import network
from booru_ml.nn.heads import Vector
from booru_ml.training.objectives import Learner, Objective

if TYPE_CHECKING:
    from booru_ml.checkpoint import Checkpoint
    from booru_ml.training.architectures import Start


class Teacher(nn.Module):
    """``forward(pixels)``: vectors (B, D) of length 1 for what the pupil is shown. Nothing in it ever learns."""

    head: Vector
    given: Tensor
    taken: Tensor

    def __init__(self, checkpoint: Checkpoint, start: Start) -> None:
        """``start``: the pupil. Raises ``InvalidInput`` where the checkpoint has no embedding."""
        super().__init__()
        declared = [head for head in checkpoint.heads.values() if head.kind is HeadKind.EMBEDDING]
        if not declared:
            raise InvalidInput(f"{checkpoint.version} has no embedding to teach; name another folder after --teacher.")
        loaded, look = network.load(checkpoint), checkpoint.preprocess
        self.dim = declared[0].dim or loaded.backbone.width
        self.is_origin = checkpoint.version == start.origin
        self.backbone, self.head = loaded.backbone, loaded.heads[declared[0].name]  # type: ignore[assignment]
        self.flipped = look.channels == "BGR"
        # Networks whose tensors depend on the pictures' size see them at their own.
        self.size = (look.height, look.width) if hasattr(loaded.backbone.model, "set_input_size") else None
        self.register_buffer("given", _channels(start.mean, start.std))
        self.register_buffer("taken", _channels(look.mean, look.std))

    @torch.no_grad()
    def forward(self, pixels: Tensor) -> Tensor:
        seen = pixels * self.given[1] + self.given[0]
        seen = ((seen.flip(1) if self.flipped else seen) - self.taken[0]) / self.taken[1]
        if self.size is not None:
            seen = functional.interpolate(seen, self.size, mode="bilinear", antialias=True)
        vectors: Tensor = self.head(self.backbone.features(seen.contiguous(memory_format=torch.channels_last)), {})
        return vectors


class Copying(Objective):
    """1 − cosine of the teacher's vectors and the features by a matrix, which learns, too, and is thrown away."""

    def __init__(self, features: int, teacher: Teacher) -> None:
        super().__init__()
        self.matrix = nn.Linear(features, teacher.dim)
        head = teacher.head
        # Who begins as its teacher has nothing to find out first.
        if teacher.is_origin and head.projection is not None and head.statistics is None:
            self.matrix.weight.data.copy_(head.projection)
            self.matrix.bias.data.copy_(-head.projection @ head.mean)

    def forward(self, features: Tensor, target: Tensor) -> Tensor:
        return 1 - functional.cosine_similarity(self.matrix(features), target).mean()


class Pupil(Learner):
    """``forward(pixels, _)``: the loss of pairs (B, 2, 3, H, W), each a part of a picture as it is and varied."""

    def __init__(self, model: nn.Module, objective: Objective, teacher: Teacher) -> None:
        super().__init__(model, objective)
        # No part of the pupil: neither averaged nor saved with it.
        self._teachers = (teacher,)

    def forward(self, pixels: Tensor, target: Tensor) -> Tensor:
        plain, varied = pixels.unbind(1)
        (teacher,) = self._teachers
        return super().forward(varied, teacher.to(plain.device)(plain))


def _channels(mean: Sequence[float], std: Sequence[float]) -> Tensor:
    return torch.tensor([mean, std]).view(2, 3, 1, 1)
