"""Writing a checkpoint folder."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from safetensors.torch import save_file
from torch import Tensor

from booru_ml.checkpoint import Checkpoint, files, pin


def write(
    folder: Path,
    *,
    config: Mapping[str, Any],
    weights: Mapping[str, Tensor],
    heads: Mapping[str, Tensor],
    labels: Iterable[tuple[str, str, str]],
    thresholds: Iterable[tuple[str, str, str, float]],
    card: str,
) -> Checkpoint:
    """Writes the folder without a graph, pins it and reads it back.

    ``labels``: (head, name, category); ``thresholds``: (head, category, name, threshold), empty text for all.
    """
    folder.mkdir(parents=True, exist_ok=True)
    (folder / files.CONFIG).write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
    _save(folder / files.WEIGHTS, weights)
    if heads:
        _save(folder / files.HEADS, heads)
    _table(folder / files.LABELS, ("head", "name", "category"), labels)
    _table(folder / files.THRESHOLDS, ("head", "category", "name", "threshold"), thresholds)
    (folder / files.CARD).write_text(card, encoding="utf-8")
    (folder / files.ONNX).unlink(missing_ok=True)
    pin(folder)
    return Checkpoint.load(folder)


def _save(path: Path, tensors: Mapping[str, Tensor]) -> None:
    save_file({key: tensor.contiguous() for key, tensor in tensors.items()}, path, metadata={"format": "pt"})
    path.chmod(0o644)


def _table(path: Path, columns: tuple[str, ...], rows: Iterable[tuple[Any, ...]]) -> None:
    rows = list(rows)
    if not rows:
        path.unlink(missing_ok=True)
        return
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(rows)
