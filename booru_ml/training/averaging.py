"""One encoder out of several: the plain mean of weights that were taught from the same start.

Runs that differ in their pictures or settings end in one wide valley, and its middle tells strangers apart better than
its rim, at the cost of a single network (model soups: Wortsman et al. 2022).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from booru_ml.errors import InvalidInput
from booru_ml.nn.backbones import Backbone
from booru_ml.training import encoder
from booru_ml.training.architectures import from_checkpoint

if TYPE_CHECKING:
    from booru_ml.checkpoint import Checkpoint

LEAST_ALIKE = 0.5
"""Cosine of two networks' layers; near 1 after the same start, 0 for strangers, whose mean knows nothing."""


def average(parts: Sequence[Checkpoint], out: Path) -> Checkpoint:
    """Writes ``out``: the parts' mean backbone, and what else the first one says. Heads have to be fitted anew.

    Raises ``InvalidInput`` for fewer than two parts, or where they did not begin as the same network.
    """
    if len(parts) < 2:
        raise InvalidInput("A mean takes two checkpoints or more; name each after --base.")
    first = parts[0]
    for other in parts[1:]:
        for what in ("architecture", "model_args", "preprocess"):
            if getattr(other, what) != getattr(first, what):
                raise InvalidInput(f"{other.version} and {first.version} differ in {what}; their mean has no meaning.")
    starts = [from_checkpoint(part, size=part.preprocess.width) for part in parts]
    states = [start.model.state_dict() for start in starts]
    for other, state in zip(parts[1:], states[1:], strict=True):
        if not torch.cosine_similarity(_layers(states[0]), _layers(state), dim=0) >= LEAST_ALIKE:
            raise InvalidInput(f"{other.version} and {first.version} were not taught from the same weights.")
    start = starts[0]
    start.model.load_state_dict({name: _mean([state[name] for state in states]) for name in states[0]})
    return encoder.publish(out, start, Backbone(start.model), first.preprocess, card=_card(out.name, parts), base=first)


def _layers(state: dict[str, torch.Tensor]) -> torch.Tensor:
    return torch.cat([tensor.flatten() for tensor in state.values() if tensor.ndim > 1])


def _mean(tensors: Sequence[torch.Tensor]) -> torch.Tensor:
    first = tensors[0]
    if not first.is_floating_point():
        return first  # how many batches a norm has seen
    return torch.stack([tensor.double() for tensor in tensors]).mean(0).to(first.dtype)


def _card(name: str, parts: Sequence[Checkpoint]) -> str:
    lines = [
        f"# {name}",
        "The mean of the backbones of " + ", ".join(part.version for part in parts) + ".",
        "## Data, terms and limits",
        "Those of all parts. Write them down here before you pass the folder on.",
    ]
    return "\n\n".join(lines) + "\n"
