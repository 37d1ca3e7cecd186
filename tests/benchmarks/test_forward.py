from __future__ import annotations

import json
from io import StringIO
from pathlib import Path

import numpy as np
import pytest
from django.core.management import CommandError, call_command
from PIL import Image

from booru_ml.nn.routes import ROUTES


def bench(*flags: str) -> list[dict]:
    out = StringIO()
    call_command("booru_bench", "forward", "--json", *flags, stdout=out, stderr=StringIO())
    return json.loads(out.getvalue())["rows"]


def test_every_route_is_measured_at_every_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("booru_ml.benchmarks.forward.available", lambda *_, **__: [ROUTES["onnx"]])
    rows = bench("--sizes", "1", "2", "--seconds", "0.1")
    assert [(row["checkpoint"], row["batch"]) for row in rows] == [
        ("booru-lite", 1),
        ("booru-lite", 2),
        ("nsfwjs", 1),
        ("nsfwjs", 2),
    ]
    for row in rows:
        assert row["img_s"] == pytest.approx(1000 * row["batch"] / row["ms"], rel=0.05)
        assert 30 < row["rss_mib"] < 250


@pytest.mark.torch
def test_a_bare_model_is_measured_beside_the_engine(tmp_path: Path) -> None:
    for number in range(3):
        pixels = np.random.default_rng(number).integers(0, 256, (90, 70, 3)).astype(np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"{number}.jpg")
    (row,) = bench("--arch", "test_vit", "--route", "torch", "--sizes", "2", "--pictures", str(tmp_path))
    assert row["pictures"] == 4  # two full batches
    assert row["side"] == 160
    assert row["ratio_bare"] == pytest.approx(row["decode_and_engine_img_s"] / row["bare_img_s"], abs=0.01)


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--sizes", "0"], "1 or more"),
        (["--arch", "test_vit", "--route", "onnx"], "torch-bf16"),
        (["--arch", "no_such_network", "--route", "torch"], "no architecture"),
    ],
)
def test_what_cannot_be_measured_is_said(flags: list[str], said: str, tmp_path: Path) -> None:
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png")
    with pytest.raises(CommandError, match=said):
        bench("--pictures", str(tmp_path), *flags)


def test_a_picture_that_workers_would_refuse_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_text("no picture")
    with pytest.raises(CommandError, match=r"a\.jpg cannot be measured with"):
        bench("--pictures", str(tmp_path), "--arch", "test_vit", "--route", "torch")
