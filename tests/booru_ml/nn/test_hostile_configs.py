"""Whatever stands in config.json, a checkpoint is built or refused in a sentence, soon and in little memory."""

from __future__ import annotations

import copy
import hashlib
import json
import resource
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from booru_ml.checkpoint import Checkpoint, pin
from booru_ml.errors import CheckpointError

pytestmark = pytest.mark.torch

GONE = object()
DEEP = json.loads("[" * 500 + "]" * 500)
VALUES = [GONE, None, True, "", -1, 0, 0.5, 1e308, 2**63, "NaN", "x" * 10_000, [], {}, [[]], [True], {"a": None}, DEEP]
OPTIONAL = ("kernel", "regions", "statistics", "widest", "severity", "source", "matrix", "hidden", "stages", "inputs")
Place = tuple[str | int, ...]


def places(value: Any, at: Place = ()) -> Iterator[Place]:
    """Every key at any depth; of long lists the first."""
    for key in value if isinstance(value, dict) else range(min(1, len(value))) if isinstance(value, list) else ():
        yield (*at, key)
        yield from places(value[key], (*at, key))


def changed(config: Any, at: Place, value: Any) -> Any:
    config = inner = copy.deepcopy(config)
    for key in at[:-1]:
        inner = inner[key]
    if value is not GONE:
        inner[at[-1]] = value
    elif isinstance(inner, list) or at[-1] in inner:
        del inner[at[-1]]
    return config


def outcome(folder: Path, config: Any, known: dict[str, str]) -> str:
    """ "built", or what the refusal says; anything else is raised. A network like one before is not built again."""
    from booru_ml.nn import network

    text = json.dumps(config)
    (folder / "config.json").write_text(text)
    sums = [line for line in (folder / "SHA256SUMS").read_text().splitlines() if not line.endswith("config.json")]
    sums.append(f"{hashlib.sha256(text.encode()).hexdigest()}  config.json")
    (folder / "SHA256SUMS").write_text("\n".join(sums))
    try:
        checkpoint = Checkpoint.read(folder)
        parts = checkpoint.architecture, checkpoint.model_args, checkpoint.num_classes, checkpoint.heads
        if repr(parts) not in known:
            network.load(checkpoint)
            known[repr(parts)] = "built"
        return "built"
    except CheckpointError as error:
        return error.message


@pytest.fixture(params=["every-head", "wd"])
def folder(request: pytest.FixtureRequest, every_head: Path, tmp_path: Path) -> Path:
    import shutil

    from tests.booru_ml.nn import builders

    if request.param == "every-head":
        return Path(shutil.copytree(every_head, tmp_path / "every-head"))
    ratings = [(name, 9) for name in ("general", "sensitive", "questionable", "explicit")]
    return builders.tagger(tmp_path / "wd", "test_vit", [*ratings, ("sky", 0)], img_size=32).path


def test_a_strange_value_in_any_place_is_refused_in_a_sentence(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    heads = config.get("booru", {}).get("heads", {})
    everywhere = [*places(config), *(("booru", "heads", head, key) for head in heads for key in OPTIONAL)]
    known: dict[str, str] = {}
    said = {outcome(folder, changed(config, at, value), known) for at in dict.fromkeys(everywhere) for value in VALUES}
    assert "built" in said
    assert len(said) > 100
    assert max(map(len, said)) < 1500
    assert not [text for text in said if "Traceback" in text]


@pytest.mark.parametrize(
    "change",
    [
        {"hidden": [65_536, 65_536]},
        {"hidden": [2] * 100_000},
        {"inputs": ["pooled"] * 50_000},
        {"stages": [1] * 50_000, "regions": ["upper"] * 100, "kind": "style", "dim": 8, "projected": True},
    ],
)
def test_a_head_larger_than_its_tensors_costs_nothing(every_head: Path, tmp_path: Path, change: Any) -> None:
    import shutil

    folder = Path(shutil.copytree(every_head, tmp_path / "every-head"))
    config = json.loads((folder / "config.json").read_text())
    config["booru"]["heads"]["kind"] |= change
    pin(folder)
    began, before = time.process_time(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert outcome(folder, config, {}) != "built"
    assert time.process_time() - began < 10
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 300_000, "KiB"
