"""``booru_train`` writes each kind of head into a checkpoint that still verifies."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from contextlib import AbstractContextManager, nullcontext
from io import StringIO
from pathlib import Path

import numpy as np
import pytest
from django.core.management import CommandError, call_command

from booru_ml.checkpoint import Checkpoint, HeadKind, pin
from booru_ml.errors import InvalidInput
from tests.booru_ml.training import folders

pytestmark = pytest.mark.torch

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return folders.drawings(tmp_path_factory.mktemp("set") / "drawings")


@pytest.fixture(scope="module")
def crops(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return folders.crops(tmp_path_factory.mktemp("set") / "crops")


def train(task: str, into: Path, *args: object) -> str:
    out = StringIO()
    option = "--base" if task == "encoder" else "--into"
    call_command("booru_train", task, option, str(into), *map(str, args), stdout=out, no_color=True)
    return out.getvalue()


def test_processes_without_a_gpu_are_one_training(data: Path, tmp_path: Path) -> None:
    launcher = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "manage.py")
    order = ("characters", "--data", data, "--arch", "conv2d", "--size", "16", "--epochs", "2", "--batch", "10")
    done = subprocess.run(
        [sys.executable, *launcher, "booru_train", *map(str, order), "--out", tmp_path / "who"],
        cwd=ROOT,
        env={**os.environ, "DJANGO_SETTINGS_MODULE": "tests.settings", "CUDA_VISIBLE_DEVICES": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("pictures listed") == 1
    assert done.stdout.count("written into") == 1
    Checkpoint.load(tmp_path / "who")


@pytest.mark.parametrize("end", [nullcontext(), pytest.raises(InvalidInput)])
def test_processes_take_leave_of_each_other_however_it_ends(end: AbstractContextManager[object]) -> None:
    import torch.distributed as group

    from booru_ml.training import orders

    group.init_process_group("gloo", store=group.HashStore(), rank=0, world_size=1)
    with end as wrong, orders.together():
        if wrong:
            raise InvalidInput("no such folder")
    assert not group.is_initialized()


def test_whitening_writes_what_it_fitted(checkpoint: Path, data: Path) -> None:
    said = train(
        "whitening", checkpoint, "--data", data, "--faces", data, "--stages", 0, 1, "--regions", "upper", "--dim", 16
    )
    assert "drawings, faces, not whitened" in said
    assert "drawings, pixels: 5-way 1-shot" in said
    assert "chosen: shrinkage" in said
    assert "fit them again: tags" in said
    head = Checkpoint.load(checkpoint).heads["embedding"]
    assert (head.dim, head.stages, head.regions, head.projected) == (16, (0, 1), ("upper",), True)


@pytest.mark.parametrize("statistics", [["moments"], ["moments", "correlations"]])
def test_the_head_gives_the_vectors_that_were_tested(checkpoint: Path, data: Path, statistics: list[str]) -> None:
    from booru_ml.nn.routes import open_session
    from booru_ml.nn.survey import read_picture
    from booru_ml.nn.transforms import fit, normalise
    from booru_ml.training import vectors
    from booru_ml.training.manifest import read
    from booru_ml.training.whitening import project

    before = Checkpoint.load(checkpoint)
    samples = read(data, label="character")
    said = {"kind": "embedding", "dim": 16, "stages": [1], "statistics": statistics, "widest": 8, "projected": True}
    declared = vectors.declare("embedding", said)
    module = vectors.untaught(before, declared, {"drawings": samples})
    (seen,) = vectors.look(before, {"drawings": samples}, module)
    fit_it = ("whitening", checkpoint, "--data", data, "--stages", 1, "--dim", 16, "--shrink", 0.3)
    train(*fit_it, "--statistics", *statistics, "--widest", 8)
    after = Checkpoint.load(checkpoint)
    frame = fit(read_picture(samples[0].path), after.preprocess)
    tensors = vectors.head(declared, module, [seen], shrink=0.3)
    expected = project(seen.rows[:1], tensors["embedding.mean"].numpy(), tensors["embedding.projection"].numpy())
    found = open_session(after, runtime="onnx").run(normalise([frame], after.preprocess))["embedding"]
    np.testing.assert_allclose(found, expected, atol=1e-3)
    assert after.heads["embedding"].statistics == declared.statistics


def test_pictures_without_colour_are_fitted_on_beside_the_others(checkpoint: Path, data: Path) -> None:
    from booru_ml.training import vectors
    from booru_ml.training.manifest import read

    before = Checkpoint.load(checkpoint)
    samples = read(data, label="character")[:4]
    declared = vectors.declare("embedding", {"kind": "embedding", "dim": 8, "projected": True})
    module = vectors.untaught(before, declared, {"drawings": samples})
    (plain,) = vectors.look(before, {"drawings": samples}, module)
    (both,) = vectors.look(before, {"drawings": samples}, module, also=("grey", "lines"))
    assert np.array_equal(both.rows[::3], plain.rows)
    assert not np.allclose(both.rows[1::3], plain.rows)
    assert both.labels[::3] == both.labels[1::3] == both.labels[2::3] == plain.labels
    assert both.groups[::3] == both.groups[1::3] == both.groups[2::3] == plain.groups

    fit = ("whitening", checkpoint, "--data", data, "--stages", "--dim", 16, "--shrink", 0.3)
    sums = []
    for also in ((), ("--also", "grey", "contours")):
        train(*fit, *also)
        sums.append(Checkpoint.load(checkpoint).sums["heads.safetensors"])
    assert sums[0] != sums[1]


def test_a_style_head_is_fitted_without_labels_and_tested_with_them(
    checkpoint: Path, data: Path, tmp_path: Path
) -> None:
    test = Path(shutil.copytree(data, tmp_path / "strangers"))
    manifest = test / "manifest.csv"
    manifest.write_text(manifest.read_text().replace(",train", ",test"))
    fit = ("whitening", checkpoint, "--head", "manner", "--kind", "style", "--data", data, "--unlabelled", "--most", 2)
    with pytest.raises(CommandError, match="give --shrink"):
        train(*fit, "--stages", 0)
    said = train(
        *(*fit, "--shrink", 0.5, "--stages", 0, 1, "--dim", 8),
        *("--test", test, "--test-label", "artist", "--test-group", "character"),
    )
    assert "strangers, shrinkage 0.5: 5-way 1-shot" in said
    assert Checkpoint.load(checkpoint).heads["manner"].dim == 8
    with pytest.raises(CommandError, match="of split 'train'"):
        train("whitening", checkpoint, "--data", test)


def test_no_folder_takes_the_place_of_another_of_its_name(checkpoint: Path, data: Path, tmp_path: Path) -> None:
    other, *asked = (Path(shutil.copytree(data, tmp_path / site / data.name)) for site in ("other", "this", "that"))
    for home in asked:
        manifest = home / "manifest.csv"
        manifest.write_text(manifest.read_text().replace(",train", ",test"))
    fit = ("whitening", checkpoint, "--data", data, "--data", other, "--stages", "--dim", 8, "--dry-run")
    said = train(*fit, "--test", asked[0], "--test", asked[1])
    assert [line.split(", pixels")[0] for line in said.splitlines() if ", pixels: 5-way 1-" in line] == [
        *map(str, (data, other, *asked))
    ]


def test_a_dry_run_changes_nothing(checkpoint: Path, data: Path) -> None:
    before = Checkpoint.load(checkpoint).sums
    train("whitening", checkpoint, "--data", data, "--stages", "--dim", 8, "--dry-run")
    assert Checkpoint.load(checkpoint).sums == before


def test_quality_is_graded_best_first(checkpoint: Path, data: Path, crops: Path) -> None:
    said = train("quality", checkpoint, "--data", data, "--finished", crops, "--inputs", "pooled", "style")
    assert "as they are: accuracy" in said
    assert "same grade as without" in said
    head = Checkpoint.load(checkpoint).heads["quality"]
    assert head.kind is HeadKind.ORDINAL
    assert [label.name for label in head.labels] == ["finished", "sketch", "rough", "poor"]


def test_faces_become_the_checkpoints_detector(checkpoint: Path, data: Path, crops: Path) -> None:
    said = train(
        *("faces", checkpoint, "--data", data, "--crops", crops, "--scenes", 40, "--epochs", 1),
        *("--stages", 1, 2, "--hidden", 8),
    )
    assert "drawings: recall" in said
    assert "pasted crops: recall" in said
    after = Checkpoint.load(checkpoint)
    assert after.heads["faces"].channels == ("centre", "width", "height")
    assert after.faces.detector == "heatmap"
    assert 0.2 <= after.faces.threshold <= 0.5


def test_an_encoder_of_one_size_looks_at_the_size_it_was_taught_with(data: Path, tmp_path: Path) -> None:
    from tests.booru_ml.nn import builders

    base = builders.plain_timm(tmp_path / "vit", "test_vit", num_classes=0)
    assert base.preprocess.width != 64
    train("encoder", base.path, "--data", data, "--epochs", 1, "--size", 64, "--batch", 8, "--out", tmp_path / "taught")
    taught = Checkpoint.load(tmp_path / "taught")
    assert (taught.preprocess.width, taught.model_args["img_size"]) == (64, 64)


def test_an_encoder_is_taught_from_another(checkpoint: Path, data: Path, tmp_path: Path) -> None:
    from safetensors.numpy import load_file

    quick = ("--data", data, "--faces", data, "--epochs", 1, "--size", 32, "--batch", 8)
    said = [
        train("encoder", checkpoint, "--out", tmp_path / name / "taught", *quick, "--frozen", "conv_stem", "blocks.0")
        for name in ("first", "again")
    ]
    before = load_file(checkpoint / "model.safetensors")
    after = load_file(tmp_path / "first" / "taught" / "model.safetensors")
    assert before.keys() == after.keys()
    moved = {key for key in before if not np.array_equal(before[key], after[key])}
    assert "conv_head.weight" in moved
    assert not [key for key in moved if key.startswith(("conv_stem", "blocks.0."))]
    assert list(Checkpoint.load(tmp_path / "first" / "taught").heads) == ["embedding"]
    # The same seed makes the same encoder.
    assert said[0].split()[0] == said[1].split()[0]
    with pytest.raises(CommandError, match=r"no module blocks\.99"):
        train("encoder", checkpoint, "--out", tmp_path / "never", *quick, "--frozen", "blocks.99")
    with pytest.raises(CommandError, match="lower --batch"):
        train("encoder", checkpoint, "--out", tmp_path / "never", "--data", data, "--batch", 10_000)
    with pytest.raises(CommandError, match="epochs lies between"):
        train("encoder", checkpoint, "--out", tmp_path / "never", "--data", data, "--epochs", 0)
    assert not (tmp_path / "never").exists()


def test_encoders_are_averaged(checkpoint: Path, data: Path, tmp_path: Path) -> None:
    from safetensors.numpy import load_file

    from tests.booru_ml.nn import builders

    config = json.loads((checkpoint / "config.json").read_text())
    config["booru"] |= {"precision": "bfloat16", "recognition": {"picture": {"score": 0.9}}}
    (checkpoint / "config.json").write_text(json.dumps(config))
    pin(checkpoint)
    taught, out = tmp_path / "taught", tmp_path / "mean"
    train("encoder", checkpoint, "--out", taught, "--data", data, "--epochs", 1, "--size", 32, "--batch", 8)

    def average(*bases: Path) -> None:
        call_command("booru_train", "average", *(f"--base={base}" for base in bases), f"--out={out}", stdout=StringIO())

    average(checkpoint, taught)
    before, after, mean = (load_file(folder / "model.safetensors") for folder in (checkpoint, taught, out))
    assert before.keys() == mean.keys()
    for name, tensor in mean.items():
        whole = tensor.dtype.kind != "f"
        np.testing.assert_allclose(tensor, before[name] if whole else (before[name] + after[name]) / 2, atol=1e-6)
    for folder in (taught, out):
        new = Checkpoint.load(folder)
        # What was measured with the base's weights says nothing about these.
        assert (list(new.heads), new.precision, new.recognition) == (["embedding"], "float32", None)
    with pytest.raises(CommandError, match="two checkpoints or more"):
        average(checkpoint)
    with pytest.raises(CommandError, match="differ in architecture"):
        average(checkpoint, builders.plain_timm(tmp_path / "other", "mobilenetv2_035", num_classes=0).path)
    with pytest.raises(CommandError, match="not taught from the same weights"):
        average(checkpoint, builders.every_head(tmp_path / "stranger", seed=9).path)


@pytest.mark.parametrize(
    ("task", "args", "message"),
    [
        ("whitening", (), "after --data or --faces"),
        ("quality", (), "after --data"),
        ("faces", (), "Too few characters"),
        ("whitening", ("--data", "nowhere"), "nowhere is no folder"),
        ("whitening", ("--stages", "--statistics", "correlations"), "by its stages"),
    ],
)
def test_what_is_missing_is_said(checkpoint: Path, task: str, args: tuple[str, ...], message: str) -> None:
    with pytest.raises(CommandError, match=message):
        train(task, checkpoint, *args)
