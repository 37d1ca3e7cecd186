"""What a checkpoint answers, on pictures made of numbers alone: does it run, and do its routes agree?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from booru_ml.checkpoint.heads import HeadKind
from booru_ml.errors import CheckpointError
from booru_ml.nn.routes import ROUTES, open_session, torch_installed
from booru_ml.nn.transforms import fit

if TYPE_CHECKING:
    from booru_ml.checkpoint import Checkpoint, Head
    from booru_ml.nn.routes.session import Outputs
    from booru_ml.types import FloatArray, PixelArray

TOLERANCE = 1e-3


@dataclass(frozen=True)
class Verdict:
    """``runtimes`` that ran; ``differences``: per head, the largest difference between them (empty: only one ran)."""

    runtimes: tuple[str, ...]
    differences: Mapping[str, float] = field(default_factory=dict)


def patterns() -> list[PixelArray]:
    """Ramps, blocks, noise and plain white, H×W×3 uint8."""
    random = np.random.default_rng(0)
    rows, columns = np.mgrid[0:160, 0:120]
    ramps = np.stack([rows, columns * 2, (rows + columns) // 2], axis=-1).astype(np.uint8)
    blocks = np.kron(random.integers(0, 256, (8, 10, 3)), np.ones((24, 24, 1))).astype(np.uint8)
    noise = random.integers(0, 256, (90, 200, 3)).astype(np.uint8)
    return [ramps, blocks, noise, np.full((50, 50, 3), 255, np.uint8)]


def verify(checkpoint: Checkpoint) -> Verdict:
    """Runs a loaded checkpoint on every runtime at hand. Raises ``CheckpointError`` for what cannot be right."""
    fitted = [fit(frame, checkpoint.preprocess) for frame in patterns()]
    exact = [name for name in ("onnx", "openvino") if checkpoint.has_onnx and not ROUTES[name].missing]
    if torch_installed() or not checkpoint.has_onnx:
        exact.append("torch")
    answers = {name: open_session(checkpoint, runtime=name, device="cpu").see(fitted) for name in exact}
    for outputs in answers.values():
        check(checkpoint, outputs, len(fitted))
    if len(answers) < 2:
        return Verdict(tuple(answers))
    first, *others = answers.values()
    differences = {name: max(_difference(first[name], other[name]) for other in others) for name in checkpoint.heads}
    name = max(differences, key=lambda head: differences[head])
    if differences[name] > TOLERANCE:
        raise CheckpointError(
            f"Checkpoint {checkpoint.path}: model.onnx and the weights disagree by {differences[name]:.1e} in head "
            f"{name}. Write it anew: manage.py booru_model export {checkpoint.path}"
        )
    return Verdict(tuple(answers), differences)


def _difference(one: FloatArray, other: FloatArray) -> float:
    return float(np.abs(one - other).max(initial=0.0)) if one.shape == other.shape else float("inf")


def distances(checkpoint: Checkpoint, one: Outputs, other: Outputs) -> dict[str, float]:
    """How far two routes' answers lie apart, by head, in what is made of them: 1 − cosine of vectors, probabilities."""
    return {name: _distance(head, one[name], other[name]) for name, head in checkpoint.heads.items()}


def _distance(head: Head, one: FloatArray, other: FloatArray) -> float:
    if one.shape != other.shape or not (np.isfinite(one).all() and np.isfinite(other).all()):
        return float("inf")
    if head.is_vector:
        return max(0.0, 1.0 - float((one * other).sum(axis=1).min()))
    if head.kind is HeadKind.HEATMAP:
        one, other = _likely(one), _likely(other)
    return _difference(one, other)


def _likely(maps: FloatArray) -> FloatArray:
    """Heat maps with the first plane's logits as probabilities, by which the logarithms of sizes count: where there is
    nothing, nobody asks how large it is."""
    likely = 1 / (1 + np.exp(-np.clip(maps[:, :1], -30, 30)))
    return np.concatenate([likely, likely * maps[:, 1:]], axis=1)


def check(checkpoint: Checkpoint, outputs: Outputs, count: int) -> None:
    """Raises ``CheckpointError`` for outputs that cannot be right, whatever the picture."""
    for name, head in checkpoint.heads.items():
        value = outputs[name]
        if not np.isfinite(value).all():
            raise CheckpointError(f"Checkpoint {checkpoint.path}: head {name} gives numbers that are not finite.")
        length = head.dim if head.is_vector else len(head.channels or head.labels)
        if value.shape[:2] != (count, length):
            raise CheckpointError(
                f"Checkpoint {checkpoint.path}: head {name} gives {value.shape[1:]} numbers, config.json says {length}."
            )
