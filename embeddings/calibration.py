"""What the embedding checkpoint says about its own space."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from functools import lru_cache

from booru_ml import registry
from booru_ml.checkpoint import EMBEDDING, Checkpoint
from booru_ml.errors import CheckpointError
from embeddings.chances import Calibration
from embeddings.methods import METHODS

_KEYS = frozenset(item.name for item in fields(Calibration))
_UNKNOWN = Calibration()


def active_version() -> str:
    """The checkpoint version whose vectors are being written now. Raises ``CheckpointError`` where there is none."""
    return _spaces(registry.in_force().checkpoints)[0]


def calibration(model_version: str, kind: str) -> Calibration:
    """The constants of one space; the defaults where its checkpoint is not configured any more or names none."""
    active, by_kind = _spaces(registry.in_force().checkpoints)
    return by_kind.get(kind, _UNKNOWN) if model_version == active else _UNKNOWN


@lru_cache(maxsize=8)
def _spaces(checkpoints: tuple[Checkpoint, ...]) -> tuple[str, Mapping[str, Calibration]]:
    """The first checkpoint that is asked for the embedding: its version and its calibrations by kind."""
    for checkpoint in checkpoints:
        if checkpoint.gives(EMBEDDING):
            return checkpoint.version, of(checkpoint)
    raise CheckpointError(
        "None of BOORU_ML['CHECKPOINTS'] has an embedding head, so nothing can be compared. "
        "Add one that has (see docs/models.md)."
    )


def of(checkpoint: Checkpoint) -> dict[str, Calibration]:
    """``booru.recognition`` as calibrations by kind. Raises ``CheckpointError`` for unknown keys and non-numbers."""
    said, where = checkpoint.recognition or {}, checkpoint.path
    if not isinstance(said, Mapping):
        raise CheckpointError(f"Checkpoint {where}: booru.recognition must be an object.")
    found = {}
    for kind, values in said.items():
        if not isinstance(values, Mapping) or not values.keys() <= _KEYS:
            raise CheckpointError(
                f"Checkpoint {where}: booru.recognition.{kind} may hold {', '.join(sorted(_KEYS))} and nothing else."
            )
        method = values.get("method", _UNKNOWN.method)
        numbers = {name: value for name, value in values.items() if name != "method"}
        if method not in [item.name for item in METHODS]:
            known = ", ".join(item.name for item in METHODS)
            raise CheckpointError(f"Checkpoint {where}: booru.recognition.{kind}.method must be one of {known}.")
        if not all(isinstance(value, int | float) and not isinstance(value, bool) for value in numbers.values()):
            raise CheckpointError(f"Checkpoint {where}: booru.recognition.{kind} must hold numbers.")
        found[str(kind)] = Calibration(method=method, **{name: float(value) for name, value in numbers.items()})
    return found
