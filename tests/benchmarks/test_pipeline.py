"""The measurements run from end to end, on a board of their own; what they measure is not judged here."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

import pytest
from PIL import Image

from booru_ml.benchmarks import memory, pipeline
from booru_ml.errors import Unavailable
from booru_ml.nn.routes.choices import Choice

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    folder = tmp_path / "pictures"
    folder.mkdir()
    for number in range(6):
        Image.effect_noise((160, 120 + number), 40).convert("RGB").save(folder / f"{number}.png")
    return folder


def bench(home: Path, *arguments: str) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "manage.py", "booru_bench", *arguments, "--json"],
        cwd=ROOT,
        env={
            **os.environ,
            "BOORU_HOME": str(home),
            "OMP_NUM_THREADS": "1",
            "RUNTIME": "onnx",
            "DJANGO_SETTINGS_MODULE": "deploy.demo.settings",
        },
        capture_output=True,
        text=True,
        timeout=170,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert "promotions cannot be read" not in done.stderr  # the real board's, which has no tables yet
    return json.loads(done.stdout)


@pytest.mark.torch
def test_every_way_brings_every_picture_to_its_suggestions(tmp_path: Path, pictures: Path) -> None:
    home = tmp_path / "home"
    report = bench(home, "pipeline", "--rounds", "1", "--uploads", "2", "--pictures", str(pictures))
    assert report["pictures"] == 6
    for name in ("limit_img_s", "ours_img_s", "naive_img_s", "latency_p50_s", "latency_p95_s", "cpu_s_per_image"):
        assert report[name] > 0, name
    assert report["ratio_naive"] == pytest.approx(report["ours_img_s"] / report["naive_img_s"], rel=0.02)
    assert report["ratio_limit"] == pytest.approx(report["ours_img_s"] / report["limit_img_s"], rel=0.02)
    assert 100 < report["pss_mib"] < 2000
    assert report["routes"] == "onnx"
    # The real board has seen nothing of it: it was not even migrated.
    assert not (home / "board.sqlite3").exists() or not (home / "board.sqlite3").stat().st_size
    assert not list(home.glob("pictures/*"))


def test_routes_are_measured_where_nobody_did(monkeypatch) -> None:
    choices = [(MagicMock(), Choice(route="openvino")), (MagicMock(), Choice(route="onnx"))]
    monkeypatch.setattr(pipeline, "probe_routes", lambda: iter(choices))
    assert pipeline._routes(print) == ["openvino", "onnx"]


def test_measuring_goes_on_where_no_choice_can_be_kept(monkeypatch) -> None:
    said: list[str] = []
    monkeypatch.setattr(pipeline, "probe_routes", MagicMock(side_effect=Unavailable("read-only")))
    assert pipeline._routes(said.append) == ["auto"]
    assert "read-only" in said[-1]


def test_every_core_gets_a_worker_and_a_database(tmp_path: Path, pictures: Path) -> None:
    for spare in sorted(pictures.iterdir())[2:]:
        spare.unlink()
    report = bench(tmp_path / "home", "scaling", "--rounds", "1", "--pictures", str(pictures))
    assert report["stacks"] == len(os.sched_getaffinity(0))
    for name in ("", "limit_"):
        assert report[f"{name}one_img_s"] > 0
        ratio = report[f"{name}all_img_s"] / report[f"{name}one_img_s"]
        assert report[f"{name}ratio"] == pytest.approx(ratio, abs=0.01 + 0.02 * ratio)


def test_workers_are_weighed_until_enough_pictures_were_seen(tmp_path: Path, monkeypatch) -> None:
    board = MagicMock(names=["a.png", "b.png"])
    board.upload.side_effect = lambda names: list(range(len(names)))
    workers = MagicMock()
    workers.__enter__.return_value.pss_mib.side_effect = [float(number) for number in range(300, 400)]
    monkeypatch.setattr(memory, "stage", lambda: nullcontext(tmp_path))
    monkeypatch.setattr(memory, "CeleryWorkers", lambda *args, **kwargs: workers)
    monkeypatch.setattr(memory, "Board", lambda *args: board)
    monkeypatch.setattr(memory, "Posts", MagicMock)
    found = memory.measure([Path("a.png"), Path("b.png")], pictures=55)
    assert found["pictures"] == 60
    assert board.upload.call_count == board.wait.call_count == board.clear.call_count == 10
    assert found["pss_mib_most"] == 309


def test_a_leak_shows_and_the_warm_up_does_not() -> None:
    seen = [100 * number for number in range(1, 41)]
    steady = memory.report(seen, [300, 350, 380, 400, *[400.0] * 36])
    leaking = memory.report(seen, [300, 350, 380, 400, *(400 + number / 50 for number in seen[4:])])
    assert (steady["pss_mib_first"], steady["pss_mib_last"], steady["growth_mib_per_thousand"]) == (400, 400, 0)
    assert leaking["growth_mib_per_thousand"] == pytest.approx(20)
    assert leaking["pss_mib_last"] > leaking["pss_mib_first"] + 50


def test_growth_is_measured_by_real_claims_and_stores(tmp_path: Path) -> None:
    report = bench(tmp_path / "home", "growth", "--sizes", "1000", "2000")
    assert [row["rows"] for row in report["sizes"]] == [1000, 2000]
    assert all(row["claim_ms"] > 0 and row["store_ms"] > 0 for row in report["sizes"])
    # No statement of a claim reads the table from end to end.
    assert not any("SCAN booru_ml_analysisjob" in plan and "USING INDEX" not in plan for plan in report["plans"])
