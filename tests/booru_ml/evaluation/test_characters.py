"""``booru_evaluate characters``: by the classes' own head or by embeddings, in folds or by a split."""

from __future__ import annotations

import json
import shutil
from io import StringIO
from pathlib import Path

import numpy as np
import pytest
from django.core.management import CommandError, call_command
from PIL import Image

from booru_ml.checkpoint import Checkpoint
from booru_ml.errors import InvalidInput
from booru_ml.training import manifest
from tests.booru_ml.evaluation.commands import evaluate, rewritten

pytestmark = pytest.mark.torch


def test_characters_by_embedding_say_what_the_floor_is(checkpoint: Path, data: Path, tmp_path: Path) -> None:
    folder = rewritten(data, tmp_path / "set", split=lambda n, _: "test" if n % 4 == 3 else "train")
    figures, said, _ = evaluate("characters", "--data", folder, "--model", checkpoint)
    assert {"top1", "top5", "balanced_top1", "ece", "pixel_1nn", "by_shots", "ci95"} <= figures.keys()
    assert figures["pictures"] == 12
    assert figures["top5"] >= figures["top1"]
    assert "few-shot" in said
    with pytest.raises(CommandError, match="no softmax head that knows"):
        evaluate("characters", "--data", folder, "--model", checkpoint, "--store")


def test_a_report_draws_a_class_between_dollars_as_it_is(checkpoint: Path, data: Path, tmp_path: Path) -> None:
    folder = rewritten(data, tmp_path / "set", character=lambda _, row: row["character"].replace("someone00", "$_$"))
    evaluate("characters", "--data", folder, "--model", checkpoint, "--folds", 2, "--report", tmp_path / "report")
    assert "$_$" in (tmp_path / "report" / "characters.html").read_text()


@pytest.fixture
def looked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the pictures that are read before a network is asked, with the class."""
    from booru_ml.evaluation import pictures

    found: list[str] = []
    read = pictures.read_picture
    monkeypatch.setattr(
        pictures, "read_picture", lambda path: (found.append(f"{path.parent.name}/{path.name}"), read(path))[1]
    )
    return found


def test_no_more_pictures_are_read_than_teach_or_are_asked_about(
    checkpoint: Path, data: Path, tmp_path: Path, looked: list[str]
) -> None:
    folder = rewritten(data, tmp_path / "set", split=lambda n, _: ("train", "train", "train", "test")[n % 4])
    (folder / "someone00" / "0.png").write_bytes(b"no picture")
    figures, said, _ = evaluate("characters", "--data", folder, "--model", checkpoint, "--most", 2)
    assert figures["pictures"] == 12
    assert figures["unreadable"] == 1
    assert "learned from 24 pictures" in said
    assert set(looked) == {f"someone{n:02}/{k}.png" for n in range(12) for k in (0, 1, 3)} | {"someone00/2.png"}


def test_shots_are_those_of_every_fold(
    checkpoint: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of each class three pictures are asked about by a fold that learned one, and one by a fold that learned three."""
    from booru_ml.evaluation import scores

    monkeypatch.setattr(scores, "FEW", 2)
    folder = rewritten(
        data, tmp_path / "set", split=lambda *_: "", group=lambda n, row: row["character"] + "xxxy"[n % 4]
    )
    figures, said, _ = evaluate("characters", "--data", folder, "--model", checkpoint, "--folds", 2)
    assert figures["by_shots"] == {"few": {"classes": 12, "balanced_top1": figures["balanced_top1"]}}
    assert "learned from 24 pictures" in said


def test_folds_deal_out_of_as_many_groups_as_there_are(
    checkpoint: Path, data: Path, tmp_path: Path, looked: list[str]
) -> None:
    group = {"0": "x", "1": "x", "2": "y", "3": "z"}
    folder = rewritten(
        data, tmp_path / "set", split=lambda *_: "", group=lambda n, row: row["character"] + group[str(n % 4)]
    )
    asked = ("--data", folder, "--model", checkpoint, "--most", 2, "--folds", 3)
    figures, said, _ = evaluate("characters", *asked)
    assert figures["pictures"] == 36
    assert "learned from 24 pictures" in said
    assert set(looked) == {f"someone{n:02}/{k}.png" for n in range(12) for k in (0, 2, 3)}
    for most, told in ((0, "--most: '0' is no whole number from 1"), (1, "--most 2 or more.*fewshot --shots 1")):
        with pytest.raises(CommandError, match=told):
            evaluate("characters", "--data", folder, "--model", checkpoint, "--most", most)


def test_a_stored_temperature_is_served(checkpoint: Path, data: Path, tmp_path: Path) -> None:
    from booru_ml.evaluation.calibration import softened
    from booru_ml.evaluation.pictures import ask

    folder = rewritten(
        data,
        tmp_path / "set",
        character=lambda n, _: "abc"[n % 3],
        split=lambda n, _: ("val", "test")[n // 24],
    )
    samples = manifest.read(folder, label="character")
    before = ask(Checkpoint.load(checkpoint), samples, ["kind"])["kind"]
    figures, said, _ = evaluate("characters", "--data", folder, "--model", checkpoint, "--store")
    after = ask(Checkpoint.load(checkpoint), samples, ["kind"])["kind"]
    np.testing.assert_allclose(after, softened(np.log(before), figures["temperature"]), atol=2e-3)
    assert "own head kind" in said
    assert figures["ece_calibrated"] < 1


def test_the_split_that_a_training_made_is_read_from_its_books(
    checkpoint: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A head is measured on pictures that did not teach it, and calibrated, without a manifest of one's own."""
    for n, path in enumerate(sorted(data.glob("*/*.png"))):
        (tmp_path / "set" / "abc"[n % 3]).mkdir(parents=True, exist_ok=True)
        shutil.copy(path, tmp_path / "set" / "abc"[n % 3] / f"{n}.png")
    monkeypatch.chdir(tmp_path)
    fast = ["--frozen", "1", "--augment", "none", "--size", "32", "--epochs", "1", "--batch", "8", "--out", "who"]
    asked = ["--data", "set", "--base", str(checkpoint), "--shares", "0.4", "0.3", "0.3"]
    call_command("booru_train", "characters", *asked, *fast, stdout=StringIO())
    taught = json.loads((tmp_path / "who.run" / "report.json").read_text())["test"]
    _, said, _ = evaluate("characters", "--data", tmp_path / "set", "--model", "who")
    assert "All pictures are asked about" in said
    monkeypatch.chdir("/")
    books = tmp_path / "who.run"
    figures, said, _ = evaluate("characters", "--data", books, "--model", tmp_path / "who", "--store")
    assert figures["pictures"] == taught["pictures"] < 48
    assert figures["top1"] == pytest.approx(taught["accuracy"], abs=1e-4)
    assert "All pictures" not in said
    with pytest.raises(InvalidInput, match="has one label for each picture"):
        manifest.read(books, label="tags", several=True)


def test_what_stands_on_both_sides_of_a_split_is_counted_and_said(checkpoint: Path, data: Path, tmp_path: Path) -> None:
    """By groups, which a head of the checkpoint's own does not rule out, and by copies under whatever group."""
    sides = {
        "character": lambda n, _: "abc"[n % 3],
        "split": lambda n, _: ("train", "test")[n % 2],
        "group": lambda n, _: f"work {n // 2}",
    }
    folder = rewritten(data, tmp_path / "set", **sides)
    figures, _, warned = evaluate("characters", "--data", folder, "--model", checkpoint)
    assert figures["shared_groups"] == 24
    with pytest.raises(CommandError, match="learned these classes already; leave out --most"):
        evaluate("characters", "--data", folder, "--model", checkpoint, "--most", 2)
    assert "Leak: 24 groups of split test stand in other splits, too, as 'work 0'" in warned
    strangers = rewritten(folder, tmp_path / "strangers" / "set", character=lambda n, _: "xyz"[n % 3])
    with pytest.raises(CommandError, match=r"as 'work 0'\. Give all pictures of a group one split"):
        evaluate("characters", "--data", strangers, "--model", checkpoint)
    copied = rewritten(strangers, tmp_path / "copied" / "set", group=lambda n, _: n)
    for n in (0, 1):
        noise = np.random.default_rng(n).integers(0, 256, (8, 8, 3), np.uint8)
        Image.fromarray(noise).resize((48, 48)).save(copied / "someone00" / f"{n}.png")
    before = evaluate("characters", "--data", copied, "--model", checkpoint)[0]["near_copies"]  # some discs are alike
    shutil.copy(copied / "someone00" / "0.png", copied / "someone00" / "1.png")
    figures, _, warned = evaluate("characters", "--data", copied, "--model", checkpoint)
    assert figures["near_copies"] == before + 1
    assert f"{before + 1} pictures are asked about though a copy or near-copy" in warned
