"""Checkpoint folders are read as if a stranger had written them."""

from __future__ import annotations

import json
import shutil
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from booru_ml.checkpoint import Checkpoint, Pool, join_versions, pin, read_version
from booru_ml.conf import CHECKPOINTS
from booru_ml.errors import CheckpointError
from booru_ml.types import Category

Damage = Callable[[Path], object]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of the nsfwjs checkpoint to harm."""
    target = tmp_path / "nsfwjs"
    shutil.copytree(CHECKPOINTS / "nsfwjs", target)
    return target


def edit(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Changes config.json and pins the folder, as an author would."""
    config = json.loads((folder / "config.json").read_text())
    change(config)
    (folder / "config.json").write_text(json.dumps(config))
    pin(folder)


def refusal(folder: Path) -> str:
    with pytest.raises(CheckpointError) as caught:
        Checkpoint.load(folder)
    return caught.value.message


def test_a_sound_folder_says_what_it_holds() -> None:
    checkpoint = Checkpoint.load(CHECKPOINTS / "nsfwjs")
    assert checkpoint.name == "nsfwjs"
    assert list(checkpoint.heads) == ["nsfw", "rating", "medium"]
    assert [label.name for label in checkpoint.labels["rating"]] == ["g", "s", "q", "e"]
    assert checkpoint.heads["rating"].pool is Pool.WORST
    assert checkpoint.heads["medium"].labels[1].category is Category.META
    assert checkpoint.thresholds["nsfw"] == {"drawing": 0.5, "hentai": 0.4, "neutral": 0.5, "porn": 0.4, "sexy": 0.5}
    assert checkpoint.has_onnx
    assert checkpoint.embedding_dim is None


def test_float32_unless_it_was_measured_to_answer_as_well_in_less(folder: Path) -> None:
    assert Checkpoint.load(folder).precision == "float32"
    edit(folder, lambda config: config["booru"].update(precision="bfloat16"))
    assert Checkpoint.load(folder).precision == "bfloat16"


@pytest.mark.parametrize("said", ["int8", 16, None, ["bfloat16"], {}])
def test_a_precision_that_nobody_knows_is_refused(folder: Path, said: object) -> None:
    edit(folder, lambda config: config["booru"].update(precision=said))
    assert "booru.precision must be one of float32, bfloat16" in refusal(folder)


def test_the_default_checkpoint_gives_embedding_and_style() -> None:
    checkpoint = Checkpoint.read(CHECKPOINTS / "lite0")
    assert checkpoint.embedding_dim == 256
    assert checkpoint.style_dim == checkpoint.heads["style"].dim


def test_every_shipped_folder_has_a_card_that_names_its_licence() -> None:
    for folder in sorted(path for path in CHECKPOINTS.iterdir() if path.is_dir()):
        assert "| licence |" in (folder / "card.md").read_text()


def test_the_version_follows_weights_and_configuration_alone(folder: Path) -> None:
    before = read_version(folder)
    (folder / "card.md").write_text("other words")
    (folder / "model.onnx").unlink()
    pin(folder)
    assert read_version(folder) == before
    (folder / "thresholds.csv").write_text("threshold\n0.9\n")
    pin(folder)
    assert read_version(folder) != before
    assert read_version(folder).startswith("nsfwjs@")
    assert len(read_version(folder)) == len("nsfwjs@") + 12


def test_several_versions_join_into_one_of_bounded_length() -> None:
    joined = join_versions(f"{'x' * 40}@{n}" for n in range(9))
    assert len(joined) == 64
    assert joined != join_versions(f"{'x' * 40}@{n}" for n in range(8))


def truncate(name: str) -> Damage:
    def damage(folder: Path) -> None:
        data = (folder / name).read_bytes()
        (folder / name).write_bytes(data[: len(data) // 2])

    return damage


def flip(name: str) -> Damage:
    def damage(folder: Path) -> None:
        data = bytearray((folder / name).read_bytes())
        data[len(data) // 2] ^= 1
        (folder / name).write_bytes(data)

    return damage


@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "heads.safetensors", "model.onnx", "labels.csv"])
@pytest.mark.parametrize("harm", [truncate, flip])
def test_a_damaged_file_is_found_before_it_is_used(folder: Path, name: str, harm: Callable[[str], Damage]) -> None:
    harm(name)(folder)
    message = refusal(folder)
    assert name in message
    assert "Fetch the checkpoint again" in message


@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "model.onnx", "thresholds.csv"])
def test_a_missing_file_is_named(folder: Path, name: str) -> None:
    (folder / name).unlink()
    assert f"{name} is missing" in refusal(folder)


def test_a_folder_without_sums_says_how_to_pin_it(folder: Path) -> None:
    (folder / "SHA256SUMS").unlink()
    assert f"booru_model pin {folder}" in refusal(folder)


def test_a_file_of_a_strange_name_does_not_spoil_the_folder(folder: Path) -> None:
    (folder / "Sample picture (1).png").write_bytes(b"what else was published")
    pin(folder)
    assert "Sample" not in (folder / "SHA256SUMS").read_text()
    Checkpoint.load(folder)
    (folder / "SHA256SUMS").unlink()
    (folder / "SHA256SUMS").mkdir()
    with pytest.raises(CheckpointError, match="sums cannot be written"):
        pin(folder)


def test_a_file_that_the_sums_do_not_name_is_not_loaded(folder: Path) -> None:
    sums = (folder / "SHA256SUMS").read_text().splitlines(keepends=True)
    (folder / "SHA256SUMS").write_text("".join(line for line in sums if "model.safetensors" not in line))
    assert "does not name model.safetensors" in refusal(folder)


@pytest.mark.parametrize(
    "name", ["../model.safetensors", "/etc/passwd", "a/b", "..", ".hidden", "SHA256SUMS", "x" * 200, "a\\b", "ä"]
)
def test_sums_cannot_lead_out_of_the_folder(folder: Path, name: str) -> None:
    with (folder / "SHA256SUMS").open("a") as sums:
        sums.write(f"{'0' * 64}  {name}\n")
    assert "SHA256SUMS has a line" in refusal(folder)


def test_a_link_out_of_the_folder_is_refused(folder: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    (folder / "model.safetensors").rename(outside)
    (folder / "model.safetensors").symlink_to(outside)
    assert "link out of the folder" in refusal(folder)


def test_a_huge_file_is_not_read(folder: Path) -> None:
    with (folder / "config.json").open("r+b") as file:
        file.truncate(2**31)
    assert "larger than" in refusal(folder)


def test_no_folder_at_all_points_to_the_setting(tmp_path: Path) -> None:
    assert "BOORU_ML['CHECKPOINTS']" in refusal(tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[1]", "one JSON object"),
        ("{", "no valid JSON"),
        ("[" * 100_000, "no valid JSON"),
        ('{"architecture": "resnet18", "num_classes": NaN}', "no valid JSON"),
        ("\ufffe\ud800".encode("utf-8", "surrogatepass").decode("latin-1"), "no valid JSON"),
    ],
)
def test_a_configuration_that_is_none_is_refused(folder: Path, text: str, says: str) -> None:
    (folder / "config.json").write_text(text)
    pin(folder)
    assert says in refusal(folder)


def put(*keys: str, value: Any) -> Callable[[dict[str, Any]], None]:
    def change(config: dict[str, Any]) -> None:
        for key in keys[:-1]:
            config = config.setdefault(key, {})
        config[keys[-1]] = value

    return change


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (put("architecture", value="hf-hub:someone/something"), "name of a timm model"),
        (put("architecture", value="local-dir:/tmp"), "name of a timm model"),
        (put("model_args", value={"checkpoint_path": "/tmp/evil.pth"}), "own files only"),
        (put("model_args", value={"pretrained": True}), "own files only"),
        (put("model_args", value={"pretrained_cfg_overlay": {"file": "x"}}), "own files only"),
        (put("num_classes", value=-1), "num_classes"),
        (put("num_classes", value=True), "num_classes"),
        (put("model_args", value={"in_chans": 4}), "three channels"),
        (put("model_args", value={"depths": [2, 10**9]}), "too large for any network"),
        (put("booru", "format", value=2), "booru.format"),
        (put("booru", value=[]), "booru.format"),
        (put("booru", "name", value="../x"), "name"),
        (put("booru", "heads", value={}), "booru.heads"),
        (put("booru", "heads", "nsfw", "kind", value="oracle"), "kind 'oracle' is unknown"),
        (put("booru", "heads", "nsfw", "kind", value=["softmax"]), "is unknown"),
        (put("booru", "heads", "nsfw", "inputs", value=["pixels"]), "inputs"),
        (put("booru", "heads", "nsfw", "hidden", value=[10**9]), "hidden"),
        (put("booru", "heads", "nsfw", "severity", value=[1]), "severity"),
        (put("booru", "heads", "nsfw", "pool", value="median"), "pool"),
        (put("booru", "heads", "rating", "source", value="later"), "source"),
        (put("booru", "heads", "rating", "matrix", value=[[1, 1, 1, 1, 1]] * 4), "add up to 1"),
        (put("booru", "heads", "rating", "matrix", value=[[1]]), "one row for each"),
        (put("booru", "heads", "a.b", value={"kind": "softmax"}), "without dots"),
        (put("booru", "heads", "extra", value={"kind": "sigmoid"}), "has no labels"),
        (put("booru", "heads", "extra", value={"kind": "embedding"}), "dim"),
        (put("booru", "heads", "extra", value={"kind": "style", "dim": 8}), "feature maps"),
        (put("booru", "heads", "extra", value={"kind": "heatmap", "stages": [1]}), "planes"),
        (put("booru", "preprocess", "size", value=[10**9, 1]), "size"),
        (put("booru", "preprocess", "std", value=[0, 1, 1]), "std"),
        (put("booru", "preprocess", "mean", value="half"), "mean"),
        (put("booru", "preprocess", "channels", value="CMYK"), "channels"),
        (put("booru", "preprocess", "resize", value="stretch"), "resize"),
        (put("booru", "faces", value=7), "booru.faces"),
        (put("booru", "faces", value={"detector": "eyes"}), "booru.faces.detector"),
        (put("booru", "faces", value={"detector": "heatmap"}), "wants a heatmap head"),
        (put("booru", "faces", value={"detector": "none", "treshold": 0.5}), "knows no 'treshold'"),
        (put("booru", "faces", value={"detector": "none", "threshold": "x"}), "booru.faces.threshold"),
        (put("booru", "faces", value={"detector": "none", "threshold": True}), "booru.faces.threshold"),
        (put("booru", "faces", value={"detector": "none", "most": 2.5}), "booru.faces.most"),
        (put("booru", "faces", value={"detector": "none", "size": 100_000}), "booru.faces.size"),
    ],
)
def test_a_wrong_value_is_named(folder: Path, change: Callable[[dict[str, Any]], None], says: str) -> None:
    edit(folder, change)
    assert says in refusal(folder)


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("labels.csv", "name,category\na,general\n", "lacks the columns head"),
        ("labels.csv", "head,name,category\nnsfw,a,strange\n", "category 'strange'"),
        ("labels.csv", "head,name,category\nnsfw,a,general\nnsfw,a,general\n", "stands twice"),
        ("labels.csv", "head,name,category\nnsfw,a\n", "too many or too few"),
        ("labels.csv", "head,name,category\nother,a,general\n", "heads that config.json does not"),
        ("thresholds.csv", "threshold\nmuch\n", "no number"),
        ("thresholds.csv", "threshold\n7\n", "between 0 and 1"),
        ("thresholds.csv", "threshold\nnan\n", "between 0 and 1"),
        ("thresholds.csv", "name\na\n", "lacks the columns threshold"),
        ("thresholds.csv", "head,threshold\nnfsw,0.4\n", "no head 'nfsw' that gives probabilities. Correct the row"),
        ("thresholds.csv", "name,threshold\nhentay,0.4\n", "no label 'hentay'. Correct the row"),
        ("thresholds.csv", "head,name,threshold\nrating,porn,0.4\n", "no label 'porn' of head rating"),
        ("thresholds.csv", "category,name,threshold\n4,porn,0.4\n", "no label 'porn' of category character"),
    ],
)
def test_a_wrong_table_is_named(folder: Path, name: str, text: str, says: str) -> None:
    (folder / name).write_text(text)
    pin(folder)
    assert says in refusal(folder)


def test_bytes_that_are_no_text_are_refused(folder: Path) -> None:
    (folder / "labels.csv").write_bytes(b"\xff\xfe\x00")
    pin(folder)
    assert "no UTF-8" in refusal(folder)


ENDLESS = b'{"a": {"shape": [1e999]}}'


@pytest.mark.parametrize(
    "header",
    [
        b"",
        b"\x00" * 8,
        struct.pack("<Q", 2**60) + b"{}",
        struct.pack("<Q", 4) + b"nope",
        struct.pack("<Q", len(ENDLESS)) + ENDLESS,
    ],
)
def test_weights_with_a_damaged_header_are_refused(folder: Path, header: bytes) -> None:
    (folder / "model.safetensors").write_bytes(header)
    pin(folder)
    assert "model.safetensors" in refusal(folder)


def test_finer_thresholds_win(folder: Path) -> None:
    (folder / "thresholds.csv").write_text(
        "head,category,name,threshold\n,,,0.3\nrating,,,0.5\n,9,,0.6\n,,e,0.7\n", encoding="utf-8"
    )
    pin(folder)
    thresholds = Checkpoint.read(folder).thresholds
    assert thresholds["medium"] == {"drawing": 0.3, "photo": 0.3}
    assert thresholds["rating"] == {"g": 0.6, "s": 0.6, "q": 0.6, "e": 0.7}


def test_reading_imports_no_network_library() -> None:
    code = (
        "import sys; from booru_ml.checkpoint import Checkpoint, read_version; from pathlib import Path\n"
        f"Checkpoint.load(Path({str(CHECKPOINTS / 'lite0')!r})); read_version(Path({str(CHECKPOINTS / 'nsfwjs')!r}))\n"
        "import booru_ml.nn.engine, booru_ml.nn.routes, booru_ml.nn.transforms, booru_ml.nn.verification\n"
        "heavy = {'torch', 'timm', 'onnxruntime', 'onnx', 'faiss', 'django'} & set(sys.modules)\n"
        "sys.exit(', '.join(heavy) or None)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
