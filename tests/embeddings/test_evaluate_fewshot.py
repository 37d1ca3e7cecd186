"""``booru_evaluate fewshot`` with the encoder that ships, on pictures of colours."""

from __future__ import annotations

import csv
import json
import os
from concurrent.futures import ThreadPoolExecutor
from io import StringIO
from pathlib import Path

import numpy as np
import pytest
from django.core.management import CommandError, call_command
from PIL import Image

COLOURS = {"red": (200, 30, 30), "green": (30, 160, 60), "blue": (40, 60, 200), "sand": (220, 200, 120)}


def evaluate(*words: object) -> tuple[str, str]:
    out, err = StringIO(), StringIO()
    call_command("booru_evaluate", "fewshot", *(str(word) for word in words), stdout=out, stderr=err)
    return out.getvalue(), err.getvalue()


def picture(path: Path, colour: tuple[int, int, int], random: np.random.Generator) -> None:
    path.parent.mkdir(exist_ok=True, parents=True)
    pixels = np.clip(np.array(colour) + random.normal(0, 12, (24, 24, 3)), 0, 255).astype(np.uint8)
    Image.fromarray(pixels).save(path)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Four classes of four pictures in two groups each, and a file that is no picture."""
    home, random = tmp_path_factory.mktemp("data"), np.random.default_rng(0)
    with (home / "manifest.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["path", "character", "group"])
        for name, colour in COLOURS.items():
            for number in range(4):
                picture(home / name / f"{number}.png", colour, random)
                rows.writerow([f"{name}/{number}.png", name, f"{name}-{number // 2}"])
        rows.writerow(["red/broken.png", "red", "other"])
    (home / "red" / "broken.png").write_bytes(b"not a picture")
    return home


@pytest.fixture(scope="module")
def evaluated(folder, tmp_path_factory) -> tuple[dict, str, str, Path]:
    at = tmp_path_factory.mktemp("report")
    out, err = evaluate(
        "--data", folder, "--ways", 2, 9, "--shots", 1, 2, "--episodes", 20, "--json", at / "it.json", "--report", at
    )
    return json.loads((at / "it.json").read_text()), out, err, at


def test_the_figures_have_the_promised_shape(evaluated):
    told, *_ = evaluated
    assert list(told) == ["encoder", "results", "open_set", "ece", "pixel_1nn"]
    assert told["encoder"].startswith("booru-lite@")
    assert {(row["ways"], row["shots"]) for row in told["results"]} == {(2, 1), (2, 2)}
    assert {row["method"] for row in told["results"] if row["default"]} == {"exemplars"}
    for row in told["results"]:
        assert list(row) == ["method", "default", "ways", "shots", "accuracy", "ci95", "seconds_per_query"]
        assert 0.9 < row["accuracy"] <= 1
        assert row["seconds_per_query"] > 0
    assert list(told["open_set"]) == ["auroc", "tpr_at_fpr5", "oscr"]
    assert all(0 <= value <= 1 for value in (*told["open_set"].values(), told["ece"], told["pixel_1nn"]))
    assert told["pixel_1nn"] > 0.9  # plain colours: the floor says that this set proves nothing


def test_what_cannot_be_read_or_filled_is_left_out_and_said(evaluated):
    _, out, err, _ = evaluated
    assert "1 of 17 pictures cannot be read" in err
    assert "1 unreadable" in out
    assert "9 ways × 1 shots is left out: 4 of 4 classes have 1 pictures to show" in err


def test_a_report_holds_the_table_and_the_reliability_plot(evaluated):
    _, out, _, at = evaluated
    assert (at / "fewshot.txt").read_text() == out
    assert "exemplars and mean, log-sum-exp *" in out
    with Image.open(at / "reliability.png") as plot:
        assert min(plot.size) >= 300


def test_one_method_and_subfolders_without_groups(tmp_path):
    random = np.random.default_rng(1)
    for name, colour in COLOURS.items():
        for number in range(2):
            picture(tmp_path / "set" / name / f"{number}.png", colour, random)
    at = tmp_path / "deep" / "it.json"
    evaluate("--data", tmp_path / "set", "--ways", 4, "--shots", 1, "--episodes", 5, "--method", "mean", "--json", at)
    assert [(row["method"], row["default"]) for row in json.loads(at.read_text())["results"]] == [("mean", True)]


def test_figures_are_printed_in_place_of_the_table_or_go_into_a_pipe(folder, tmp_path):
    words = ("--data", folder, "--ways", 2, "--shots", 1, "--episodes", 2, "--method", "mean")
    assert json.loads(evaluate(*words, "--json", "-")[0])["results"][0]["ways"] == 2
    os.mkfifo(pipe := tmp_path / "pipe")
    with ThreadPoolExecutor() as pool:
        read = pool.submit(pipe.read_text)
        table, _ = evaluate(*words, "--json", pipe)
        assert json.loads(read.result())["results"][0]["ways"] == 2
    assert pipe.is_fifo()  # nothing took its place
    assert "ways × shots" in table


@pytest.mark.parametrize(
    ("manifest", "words", "explained"),
    [
        ("path,name\na.png,b\n", (), "lacks the column"),
        ("path,character\n../a.png,b\n", (), "leads out of the folder"),
        ("path,character\n", (), "holds no labelled pictures"),
        ("path,character\nnone.png,b\n", (), "None of the 1 pictures can be read"),
        ("path,character\na.png,b\n", ("--encoder", "nobody"), "neither a checkpoint folder nor"),
        ("path,character\na.png,b\n", ("--encoder", "nsfwjs"), "no embedding head"),
        ("path,character\na.png,b\n", (), "can fill none of these settings"),
        ("path,character\na.png,b\n", ("--seed", "-1"), "--seed: '-1' is no whole number from 0"),
        ("path,character\na.png,b\n", ("--ways", "5,20"), "--ways: '5,20' is no whole number from 1"),
        ("path,character\na.png,b\n", ("--split", "tset"), "--split: split is train, val or test"),
    ],
)
def test_mistakes_are_explained(tmp_path, manifest, words, explained):
    picture(tmp_path / "a.png", COLOURS["red"], np.random.default_rng(0))
    (tmp_path / "manifest.csv").write_text(manifest)
    with pytest.raises(CommandError, match=explained):
        evaluate("--data", tmp_path, *words)


def test_a_calibration_with_nothing_to_play_changes_nothing(tmp_path):
    random = np.random.default_rng(0)
    for name in ("red", "blue"):
        for number in range(2):
            picture(tmp_path / name / f"{number}.png", COLOURS[name], random)
    folders = ("--characters", str(tmp_path), "--artists", str(tmp_path))
    with pytest.raises(CommandError, match="a folder needs three classes"):
        call_command("booru_calibrate", *folders, "--dry-run")
    with pytest.raises(CommandError, match="is a folder; name a file"):
        call_command("booru_calibrate", *folders, "--dry-run", "--json", str(tmp_path))


def test_a_folder_that_is_not_there_is_told(tmp_path):
    with pytest.raises(CommandError, match="is no folder"):
        evaluate("--data", tmp_path / "nowhere")
