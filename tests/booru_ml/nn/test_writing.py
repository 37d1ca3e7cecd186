"""Folders are written whole or not at all; the command speaks plainly."""

from __future__ import annotations

import json
import re
import sys
from io import StringIO
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from booru_ml.checkpoint import Checkpoint, HeadKind, pin
from booru_ml.conf import CHECKPOINTS
from booru_ml.errors import CheckpointError, InvalidInput

pytestmark = pytest.mark.torch


def run(*args: str) -> str:
    out = StringIO()
    call_command("booru_model", *args, stdout=out, no_color=True)
    return out.getvalue()


def test_a_check_that_fails_leaves_the_old_folder(checkpoint: Path) -> None:
    from booru_ml.nn.writing import renew_graph

    def no(_: Checkpoint) -> None:
        raise CheckpointError("no")

    before = Checkpoint.load(checkpoint)
    with pytest.raises(CheckpointError, match=r"^no$"):
        renew_graph(before, check=no)
    assert Checkpoint.load(checkpoint).sums == before.sums
    assert [path.name for path in checkpoint.parent.iterdir()] == [checkpoint.name]


def test_a_folder_that_holds_anything_else_is_not_written_over(checkpoint: Path, tmp_path: Path) -> None:
    from booru_ml.nn.writing import check_place

    (checkpoint / "README.md").write_text("of its publisher")
    check_place(checkpoint)
    (checkpoint / "thesis.odt").write_text("the only copy")
    for name in ("file", "no-config/labels.csv"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("")
    for place, what in ((checkpoint, r" \(thesis\.odt\)"), (tmp_path / "file", ""), (tmp_path / "no-config", "")):
        with pytest.raises(InvalidInput, match=f"would be lost{what}; name another"):
            check_place(place)
    check_place(tmp_path / "nothing-yet")


@pytest.mark.skipif(sys.platform != "linux", reason="other systems cannot exchange two folders at once")
def test_no_moment_is_without_a_folder(checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from booru_ml.nn.writing import renew_graph

    def killed(*_: object) -> None:
        raise AssertionError("a kill after this would find no folder")

    before = checkpoint.stat().st_ino
    monkeypatch.setattr(Path, "rename", killed)
    renew_graph(Checkpoint.load(checkpoint))
    assert checkpoint.stat().st_ino != before
    assert [path.name for path in checkpoint.parent.iterdir()] == [checkpoint.name]


def test_a_publishers_folder_says_that_it_takes_no_heads(tmp_path: Path) -> None:
    from booru_ml.nn.writing import set_heads
    from tests.booru_ml.nn import builders

    published = builders.plain_timm(tmp_path / "plain", "test_vit")
    with pytest.raises(InvalidInput, match="as its publisher made it"):
        set_heads(published, {}, {})


def test_a_head_is_added_without_touching_the_backbone(checkpoint: Path) -> None:
    import torch

    from booru_ml.nn.verification import verify
    from booru_ml.nn.writing import set_heads

    config = json.loads((checkpoint / "config.json").read_text())
    config["booru"]["precision"] = "bfloat16"
    (checkpoint / "config.json").write_text(json.dumps(config))
    pin(checkpoint)
    before = Checkpoint.load(checkpoint)
    tensors = {
        "mood.layers.0.weight": torch.ones(2, before.heads["embedding"].dim),
        "mood.layers.0.bias": torch.zeros(2),
    }
    said = {"mood": {"kind": "softmax", "inputs": ["embedding"]}}
    after = set_heads(before, said, tensors, [("mood", "calm", "meta"), ("mood", "wild", "meta")])
    assert after.heads["mood"].kind is HeadKind.SOFTMAX
    assert after.sha256 == before.sha256
    assert after.version != before.version
    assert (before.precision, after.precision) == ("bfloat16", "float32")  # nobody measured the new head in less
    assert [label.name for label in after.labels["quality"]] == ["poor", "rough", "fine"]
    verify(after)


def test_a_new_embedding_takes_what_was_measured_of_the_old_one_along(
    checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from safetensors.torch import load_file

    from booru_ml.nn import writing

    monkeypatch.setattr(writing, "export", lambda _: None)
    config = json.loads((checkpoint / "config.json").read_text())
    config["booru"]["recognition"] = {"picture": {"score": 0.9}}
    (checkpoint / "config.json").write_text(json.dumps(config))
    pin(checkpoint)
    before = Checkpoint.load(checkpoint)
    said, tensors = config["booru"]["heads"], load_file(checkpoint / "heads.safetensors")
    scored = {name: one for name, one in said.items() if name == "quality"}
    rows = [("quality", name, "meta") for name in ("poor", "rough", "fine")]
    kept = {key: tensor for key, tensor in tensors.items() if key.startswith("quality.")}
    assert writing.set_heads(before, scored, kept, rows).recognition == {"picture": {"score": 0.9}}
    vector = {name: one for name, one in said.items() if name == "embedding"}
    kept = {key: tensor for key, tensor in tensors.items() if key.startswith("embedding.")}
    assert writing.set_heads(before, vector, kept).recognition is None


def test_a_label_that_goes_takes_its_threshold_along(checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    from booru_ml.checkpoint import pin
    from booru_ml.nn import writing
    from booru_ml.nn.writing import set_heads

    monkeypatch.setattr(writing, "export", lambda _: None)  # takes seconds, and is tested elsewhere

    rows = "category,head,name,threshold\n0,,general,0.3\n,kind,,0.4\n,kind,a,0.6\n,,c,0.7\n,tags,sea,0.5\n"
    (checkpoint / "thresholds.csv").write_text(rows)
    pin(checkpoint)
    before = Checkpoint.load(checkpoint)
    width = 2, before.heads["embedding"].dim
    tensors = {"kind.layers.0.weight": torch.ones(width), "kind.layers.0.bias": torch.zeros(2)}
    declared = {"kind": {"kind": "softmax", "inputs": ["embedding"]}, "coarse": {"kind": "softmax", "source": "kind"}}
    declared["coarse"]["matrix"] = [[1, 0], [0, 1]]
    labels = [(head, name, "meta") for head, names in (("kind", "ab"), ("coarse", "xy")) for name in names]
    after = set_heads(before, declared, tensors, labels)
    assert (checkpoint / "thresholds.csv").read_text() == rows.replace(",,c,0.7\n", "")
    assert after.thresholds["kind"] == {"a": 0.6, "b": 0.4}
    assert after.thresholds["tags"] == {"sky": 0.3, "sea": 0.5}


@pytest.mark.django_db
def test_the_command_lists_what_is_configured() -> None:
    said = run("list")
    assert "booru-lite@" in said
    assert "nsfw: softmax, 5 labels" in said


def test_the_command_verifies_every_runtime() -> None:
    said = run("verify", str(CHECKPOINTS / "booru-lite"))
    assert "ran on onnx, " in said
    assert "torch\n" in said
    assert "sound" in said


def test_the_command_tells_how_to_mend(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="booru_model pin"):
        run("verify", str(tmp_path))
    with pytest.raises(CommandError, match="no folder"):
        run("pin", str(tmp_path / "nowhere"))
    with pytest.raises(CommandError, match="not the nsfwjs package"):
        run("import-nsfwjs", str(tmp_path / "nothing.tgz"), "--out", str(tmp_path / "out"))


@pytest.mark.parametrize("verb", ["add", "pull", "verify", "pin", "export"])
def test_a_name_that_was_left_empty_is_not_the_current_folder(verb: str) -> None:
    with pytest.raises(CommandError, match="it is empty"):
        run(verb, "")


def test_a_folder_that_does_not_hold_together_keeps_its_sums(checkpoint: Path) -> None:
    before = (checkpoint / "SHA256SUMS").read_bytes()
    (checkpoint / "labels.csv").unlink()
    with pytest.raises(CommandError, match="labels"):
        run("pin", str(checkpoint))
    assert (checkpoint / "SHA256SUMS").read_bytes() == before
    (checkpoint / "heads.safetensors").unlink()
    (checkpoint / "model.safetensors").rename(checkpoint / "pytorch_model.bin")
    with pytest.raises(CommandError, match=r"no model\.safetensors\. Only safetensors are taken"):
        run("pin", str(checkpoint))
    assert (checkpoint / "SHA256SUMS").read_bytes() == before


def test_a_folder_that_holds_together_is_pinned_as_it_is_now(checkpoint: Path) -> None:
    (checkpoint / "card.md").write_text("other words")
    run("pin", str(checkpoint))
    assert Checkpoint.load(checkpoint).sums["card.md"]


def test_the_command_surveys_a_folder(tmp_path: Path) -> None:
    from PIL import Image

    for number in range(3):
        Image.new("RGBA", (40 + number, 30), (200, 100, 50, 128)).save(tmp_path / f"{number}.png")
    said = run("survey", str(CHECKPOINTS / "nsfwjs"), "--data", str(tmp_path))
    assert "3 pictures" in said
    assert said.count("rating") == 4
    assert re.search(r"medium +photo .+ (0|100)\.00% of 0\.998\n", said)
    with pytest.raises(CommandError, match="holds no pictures"):
        run("survey", str(CHECKPOINTS / "nsfwjs"), "--data", str(CHECKPOINTS))
