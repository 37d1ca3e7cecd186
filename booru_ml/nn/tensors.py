"""A file's tensors, looked at before a network takes them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from booru_ml.errors import CheckpointError

if TYPE_CHECKING:
    from pathlib import Path


def read(path: Path) -> dict[str, Tensor]:
    try:
        return dict(load_file(path))
    except (SafetensorError, OSError, ValueError, KeyError, AttributeError, RuntimeError) as error:
        # The last four: a kind of number that this release of safetensors or torch does not know.
        raise CheckpointError(f"{path.name} cannot be read: {error}. Fetch the checkpoint again.") from error


def check(name: str, wanted: Mapping[str, Tensor], given: Mapping[str, Tensor]) -> None:
    """Whether the file's numbers are of the kind that the network computes with, and numbers at all.

    Copying would cast them in silence: quantised weights without their scales would answer, and answer anything.
    """
    for key in sorted(wanted.keys() & given.keys()):
        kind, tensor = wanted[key].dtype, given[key]
        if _kind(tensor.dtype) != _kind(kind):
            raise CheckpointError(
                f"{name} holds {key} as {_name(tensor.dtype)}; the network needs {_name(kind)}. "
                "Fetch or export the weights as floating-point numbers; quantised ones cannot be used."
            )
        if kind.is_floating_point and not _finite(tensor.to(kind)):
            raise CheckpointError(
                f"{name} holds numbers in {key} that are not finite. The training went astray or the file was damaged: "
                "fetch it again, or take an earlier state."
            )


def _kind(dtype: torch.dtype) -> str:
    return "float" if dtype.is_floating_point else "complex" if dtype.is_complex else "integer"


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def _finite(tensor: Tensor) -> bool:
    """By its least and largest number, of which either is NaN if any is."""
    return not tensor.numel() or bool(torch.isfinite(torch.stack(torch.aminmax(tensor))).all())
