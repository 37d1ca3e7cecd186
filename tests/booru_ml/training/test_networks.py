"""``booru_train TASK --data … --out …``: from a folder of pictures to a checkpoint that the engine runs."""

from __future__ import annotations

import csv
import json
from io import StringIO
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from django.core.management import CommandError, call_command

from booru_ml.checkpoint import Checkpoint, HeadKind
from booru_ml.training import loop, studies
from booru_ml.training.manifest import Sample
from booru_ml.training.runs import Run
from booru_ml.training.settings import Settings
from tests.booru_ml.training import pictures
from tests.booru_ml.training.commands import train

pytestmark = pytest.mark.torch

QUICK = ("--size", 32, "--batch", 6, "--device", "cpu", "--augment", "none", "--schedule", "constant")
FAST = (*QUICK, "--arch", "conv2d", "--optimiser", "sgd", "--rate", 0.03, "--backbone-rate", 0.03)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return pictures.folder(tmp_path_factory.mktemp("set") / "drawn", split=True)


def table(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_a_closed_set_is_learnt_reported_and_answered_by_the_engine(data: Path, tmp_path: Path) -> None:
    from booru_ml.nn.routes import open_session
    from booru_ml.nn.survey import read_picture
    from booru_ml.nn.transforms import fit

    out = tmp_path / "who"
    said = train("characters", data, *FAST, "--epochs", 8, "--out", out)
    assert "60 pictures listed, 60 kept, 3 labels: test 12, train 36, val 12" in said
    report = json.loads((tmp_path / "who.run" / "report.json").read_text())
    assert report["test"]["accuracy"] >= 0.9
    assert 0 <= report["test"]["pixel_1nn"] <= 1
    assert f"pixel_1nn {report['test']['pixel_1nn']:.4f}" in (out / "card.md").read_text()
    assert report["test"]["long_tail"] == {"few (< 20)": {"classes": 3, "accuracy": report["test"]["balanced"]}}
    assert [row["train"] for row in table(tmp_path / "who.run" / "per_class.csv")] == ["12", "12", "12"]
    assert len(table(tmp_path / "who.run" / "curve.csv")) == 8
    assert list((tmp_path / "who.run" / "logs").iterdir())
    checkpoint = Checkpoint.load(out)
    assert checkpoint.heads["embedding"].dim == 16
    session = open_session(checkpoint, runtime="onnx")
    answers = [
        int(session.see([fit(read_picture(data / f"{n:03}.png"), checkpoint.preprocess)])["characters"].argmax())
        for n in range(24, 30)
    ]
    assert sum(answer == n % 3 for n, answer in enumerate(answers, 24)) >= 5


def test_tags_bring_their_categories_and_thresholds(data: Path, tmp_path: Path) -> None:
    out = tmp_path / "tagger"
    train("tags", data, *FAST, "--epochs", 2, "--out", out)
    checkpoint = Checkpoint.load(out)
    head = checkpoint.heads["tags"]
    assert head.kind is HeadKind.SIGMOID
    hues, names = {f"general:hue{n}" for n in range(3)}, {f"character:who{n}" for n in range(3)}
    found = {f"{label.category}:{label.name}" for label in head.labels}
    assert found == hues | names | {"general:wide", "general:high"}
    assert set(checkpoint.thresholds["tags"]) == {label.name for label in head.labels}
    # As they were found: rounded up, one may leave out the very picture that it was found on.
    assert any(round(value, 4) != value for value in checkpoint.thresholds["tags"].values())


def test_what_nobody_decided_about_is_no_negative(tmp_path: Path) -> None:
    """Of the red pictures a third carries the tag; nobody said that the others lack it. Green ones were rejected."""
    from accelerate import Accelerator

    from booru_ml.training import manifest, trainer
    from booru_ml.training.architectures import from_name
    from booru_ml.training.runs import Run
    from booru_ml.training.tasks import TASKS

    folder = pictures.folder(tmp_path / "decided", split=True)
    rows = [
        {
            "path": row["path"],
            "tags": ("warm" if number % 9 == 0 else "drawn") if number % 3 != 1 else "",
            "rejected": "warm" if number % 3 == 1 else "",
            "split": row["split"],
        }
        for number, row in enumerate(table(folder / "manifest.csv"))
    ]
    quick = {"optimiser": "sgd", "rate": 0.1, "backbone_rate": 0.1, "schedule": "constant", "augment": "none"}
    settings = Settings(size=32, epochs=12, batch=6).with_(quick)
    start, bench = from_name("conv2d", size=32), trainer.Bench(Accelerator(cpu=True), tensorboard=False)

    def red(name: str, *columns: str) -> float:
        """What the tested red pictures are said to be, by a network that read these columns."""
        with (folder / "manifest.csv").open("w", newline="") as file:
            writer = csv.DictWriter(file, columns, extrasaction="ignore")
            writer.writeheader()
            writer.writerows(rows)
        run = Run(tmp_path / name)
        run.keep_samples(manifest.read(folder, label="tags", several=True), ())
        samples = run.samples() or []
        given = trainer.prepare(start, samples, TASKS["tags"], settings, bench)
        learner, _ = trainer.teach(start, given, settings, bench, run)
        answers, _, _ = loop.answers(learner, given.sets["test"], batch=6, device="cpu")
        place = [label.name for label in given.labels].index("warm")
        tested = [sample for sample in samples if sample.split == "test"]
        return float(np.mean([answers[n, place] for n, one in enumerate(tested) if int(one.path.stem) % 3 == 0]))

    assert red("absent", "path", "tags", "split") < 0.4
    assert red("unknown", "path", "tags", "rejected", "split") > 0.6


def test_tags_are_measured_by_what_is_known_of_them() -> None:
    from booru_ml.training.tasks import known

    samples = [
        Sample(Path("a"), "", "a", tags=("sky",), rejected=("sea",)),
        Sample(Path("b"), "", "b", tags=("general:sea",), rejected=()),
        Sample(Path("c"), "", "c", tags=("sun",)),
    ]
    names = ("sea", "sky", "sun")
    marks = known(samples, names, {"sea", "sky"})
    assert marks is not None
    # The sun was never rejected, so pictures without it lack it; of the last picture everything is known.
    assert marks.tolist() == [[True, True, True], [True, False, True], [True, True, True]]
    assert known(samples[2:], names, set()) is None


def test_of_several_processes_the_first_one_writes_the_sweep(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(studies, "teach", lambda *args: (None, [{"val_accuracy": 0.5}]))
    given: Any = SimpleNamespace(sets={"val": ()})
    for first in (False, True):
        bench: Any = SimpleNamespace(accelerator=SimpleNamespace(is_main_process=first))
        run = Run(tmp_path / "graded")
        chosen = studies.sweep(None, given, Settings(), bench, run, rates=[0.2], lengths=[1])  # type: ignore[arg-type]
        assert chosen.rate == 0.2
        assert (run.folder / "sweep.csv").exists() == (run.folder / "sweep.png").exists() == first


def test_the_sketch_recipe_sweeps_and_tests_what_validation_chose(data: Path, tmp_path: Path) -> None:
    out = tmp_path / "graded"
    said = train(
        *("quality", data, *QUICK, "--recipe", "sketch-quality", "--arch", "conv2d", "--grades", "bad", "fair", "good"),
        *("--sweep-rates", 0.01, 0.0001, "--sweep-epochs", 1, 3, "--out", out),
    )
    assert "frozen layers stay as chance made them" in said
    rows = table(tmp_path / "graded.run" / "sweep.csv")
    assert [(row["rate"], row["epochs"]) for row in rows] == [
        ("0.01", "1"),
        ("0.01", "3"),
        ("0.0001", "1"),
        ("0.0001", "3"),
    ]
    best = max(float(row["accuracy"]) for row in rows)
    assert any(f"rate {float(r['rate']):g}, {r['epochs']} epochs" in said for r in rows if float(r["accuracy"]) == best)
    head = Checkpoint.load(out).heads["quality"]
    assert (head.kind, head.hidden, [label.name for label in head.labels]) == (
        HeadKind.ORDINAL,
        (100,),
        ["bad", "fair", "good"],
    )
    assert {"confusion.csv", "confusion.png", "sweep.png"} <= {
        path.name for path in (tmp_path / "graded.run").iterdir()
    }
    with pytest.raises(CommandError, match=r"differs in rate\. Go on"):
        train(
            *("quality", data, *QUICK, "--recipe", "sketch-quality", "--arch", "conv2d", "--grades", "bad", "fair"),
            *("good", "--sweep-rates", 0.01, "--rate", 0.5, "--out", out),
        )


def test_pairs_of_artists_have_a_network_each(data: Path, tmp_path: Path) -> None:
    from booru_ml.training import arguments, orders

    options = dict.fromkeys(Settings.__dataclass_fields__) | {
        "data": [data], "recipe": "artist-pixiv", "size": 32, "tile": 20, "epochs": 2, "batch": 6, "pairs": True,
        "out": tmp_path / "artists", "arch": ["conv2d"], "device": "cpu",
    }  # fmt: skip
    (order,) = arguments.orders("artist", options)
    said: list[str] = []
    orders.carry_out(order, said.append)
    (row,) = table(tmp_path / "artists.run" / "pairs.csv")
    assert (row["one"], row["other"]) == ("hand0", "hand1")
    assert float(row["low"]) < float(row["accuracy"]) < float(row["high"]) or float(row["accuracy"]) == 1.0
    assert row["pictures"] == "12", "four tiles of a picture are one witness"
    assert f"1 pairs: mean {float(row['accuracy']):.3f}" in "\n".join(said)
    assert (tmp_path / "artists.run" / "pairs.png").stat().st_size
    assert "240 pictures listed" in (tmp_path / "artists.run" / "data.txt").read_text(), "four tiles of each picture"


def test_artists_are_split_by_the_characters_they_drew(tmp_path: Path) -> None:
    from booru_ml.training.material import Folders
    from booru_ml.training.tasks import TASKS

    folder = pictures.folder(tmp_path / "drawn", characters=5, pictures=6)
    drawn = {row["path"]: row["character"] for row in table(folder / "manifest.csv")}
    found = Folders([folder]).samples(TASKS["artist"], Settings())
    sides = {(drawn[sample.path.name], sample.split) for sample in found.samples}
    assert len(sides) == 5
    assert {side for _, side in sides} == {"train", "val", "test"}


def test_architectures_are_compared_by_figures_and_costs(data: Path, tmp_path: Path) -> None:
    said = train("characters", data, *QUICK, "--arch", "conv2d", "shallownet", "--epochs", 1, "--out", tmp_path / "two")
    rows = table(tmp_path / "two" / "compare.csv")
    assert [row["architecture"] for row in rows] == ["conv2d_2layer", "shallownet"]
    for row in rows:
        assert float(row["low"]) <= float(row["accuracy"]) <= float(row["high"])
        assert row["pictures"] == "12"
        assert f"{int(row['parameters']):,} parameters, {float(row['ms']):g} ms" in said


@pytest.mark.parametrize(
    ("task", "args", "message"),
    [
        ("characters", (), "Name the checkpoint folder"),
        ("characters", ("--out", "x"), "Name a network by --arch"),
        ("characters", ("--out", "x", "--arch", "resnet9000"), "knows no architecture"),
        ("characters", ("--out", "x", "--arch", "inceptionv3", "--size", 32), "cannot take pictures of 32 pixels"),
        ("characters", ("--out", "x", "--arch", "resnet18", "--pretrained"), "training fetches nothing"),
        ("characters", ("--out", "my model!", "--arch", "conv2d"), "is no name for one"),
        ("characters", ("--out", "/dev/null/who", "--arch", "conv2d"), "who.run cannot be written: Not a directory"),
        ("artist", ("--recipe", "dafre", "--out", "x"), "is for characters"),
        ("tags", ("--out", "x", "--arch", "conv2d", "--pairs"), "--pairs takes labels of which a picture has one"),
        ("rating", ("--out", "x", "--arch", "conv2d", "--pairs"), "characters or artist"),
        ("tags", ("--out", "x", "--arch", "conv2d", "--sweep-rates", 0.1), "accuracy, which tags do not have"),
        ("characters", ("--out", "x", "--arch", "conv2d", "--sweep-epochs", 3), "goes with --sweep-rates"),
        ("characters", ("--out", "x", "--arch", "conv2d", "--accumulate", 100_000), "lower --batch or --accumulate"),
        ("quality", ("--dry-run",), "Name the grades"),
        ("quality", ("--dry-run", "--grades", "bad", "good"), "not among the grades"),
        ("rating", ("--dry-run", "--least", 99), "No picture is left"),
    ],
)
def test_what_is_missing_is_said(data: Path, tmp_path: Path, task: str, args: Any, message: str) -> None:
    with pytest.raises(CommandError, match=message):
        train(task, data, *(tmp_path / "x" if word == "x" else word for word in args))


def test_a_refused_training_leaves_nothing(data: Path, tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="No picture is left"):
        train("characters", data, *FAST, "--least", 99, "--out", tmp_path / "who")
    assert not list(tmp_path.iterdir())


def test_a_folder_of_something_else_is_never_replaced(data: Path) -> None:
    before = sorted(data.iterdir())
    with pytest.raises(CommandError, match="something else than a checkpoint"):
        train("characters", data, *FAST, "--out", data)
    assert sorted(data.iterdir()) == before


def test_check_reports_and_changes_nothing(data: Path) -> None:
    before = sorted(data.parent.rglob("*"))
    out = StringIO()
    call_command("booru_train", "check", "--data", str(data), "--task", "rating", stdout=out)
    assert out.getvalue() == "60 pictures listed, 60 kept, 4 labels: test 12, train 36, val 12\n"
    assert sorted(data.parent.rglob("*")) == before


def test_ratings_are_letters_or_danboorus_words(data: Path, tmp_path: Path) -> None:
    words = {"g": "General", "s": "sensitive", "q": "questionable", "e": "e"}
    out = StringIO()
    for name, ratings in (("known", words), ("old", words | {"g": "safe"})):
        folder = tmp_path / name
        folder.mkdir()
        rows = table(data / "manifest.csv")
        for row in rows:
            (folder / row["path"]).symlink_to(data / row["path"])
        lines = [f"{row['path']},{ratings[row['rating']]}\n" for row in rows]
        (folder / "manifest.csv").write_text("path,rating\n" + "".join(lines))
    call_command("booru_train", "check", "--data", str(tmp_path / "known"), "--task", "rating", stdout=out)
    assert "4 labels" in out.getvalue()
    with pytest.raises(CommandError, match="'safe' is no rating of Danbooru's"):
        call_command("booru_train", "check", "--data", str(tmp_path / "old"), "--task", "rating")
