"""Folders of labelled pictures are read strictly."""

from __future__ import annotations

from pathlib import Path

import pytest

from booru_ml.errors import InvalidInput
from booru_ml.training import manifest
from booru_ml.types import Box


def written(folder: Path, text: str) -> Path:
    (folder / "manifest.csv").write_text(text)
    return folder


def test_label_group_and_split_come_from_the_manifest(tmp_path: Path) -> None:
    folder = written(tmp_path, "path,artist,character,split\na.png,x,saber,train\nb.png,y,rin,test\n")
    (sample,) = manifest.read(folder, label="artist", group="character", split="train")
    assert (sample.path, sample.label, sample.group, sample.split) == (tmp_path / "a.png", "x", "saber", "train")


def test_a_picture_without_a_group_is_its_own(tmp_path: Path) -> None:
    folder = written(tmp_path, "path,character\na.png,saber\nb.png,saber\n")
    assert [sample.group for sample in manifest.read(folder, label="character")] == [
        str(tmp_path / "a.png"), str(tmp_path / "b.png"),
    ]  # fmt: skip


def test_one_picture_by_whatever_path_or_link_is_one_group(tmp_path: Path) -> None:
    (tmp_path / "saber").mkdir()
    (tmp_path / "saber" / "a.png").touch()
    (tmp_path / "saber" / "b.png").symlink_to("a.png")
    path = tmp_path / "saber/a.png"
    assert {sample.group for sample in manifest.read(tmp_path, label="character")} == {str(path)}
    cells = ["saber/a.png", "./saber/a.png", "saber/../saber/b.png", "saber\\a.png", " saber/a.png ", "saber/a.png"]
    lines = [f"{cell},saber" for cell in (*cells, path)]
    samples = manifest.read(written(tmp_path, "\n".join(["path,character", *lines])), label="character")
    assert {(sample.path, sample.group) for sample in samples} == {(path, str(path))}


def test_a_folder_may_hold_links_to_pictures_that_lie_elsewhere(tmp_path: Path) -> None:
    (tmp_path / "store").mkdir()
    (tmp_path / "store" / "1.png").touch()
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "a.png").symlink_to(tmp_path / "store" / "1.png")
    written(folder, f"path,character\na.png,saber\n{folder / 'a.png'},saber\n")
    assert {sample.path for sample in manifest.read(folder, label="character")} == {tmp_path / "store" / "1.png"}


def test_a_split_is_asked_for_by_any_of_its_names(tmp_path: Path) -> None:
    folder = written(tmp_path, "path,character,split\na.png,x,validation\nb.png,x,test\n")
    assert [sample.path.name for sample in manifest.read(folder, label="character", split="Validation")] == ["a.png"]


def test_a_row_without_a_label_is_left_out(tmp_path: Path) -> None:
    folder = written(tmp_path, "path,character\na.png,saber\nb.png,\n")
    assert len(manifest.read(folder, label="character")) == 1


def test_faces_are_the_first_of_each_picture(tmp_path: Path) -> None:
    folder = written(tmp_path, "path,character,faces\na.png,x,0.1 0.2 0.3 0.4;0 0 1 1\nb.png,x,\n")
    (sample,) = manifest.read(folder, label="character", faces=True)
    assert sample.box == Box(0.1, 0.2, 0.3, 0.4)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("path,name\na.png,x\n", "lacks the column"),
        ("path,character,faces\n../a.png,x,\n", "leads out of the folder"),
        ("path,character,faces\na.png,x,0.1 0.2\n", "line 2: faces must be"),
        ("path,character,faces\n", "no labelled pictures"),
        ("path;character;faces\na.png;x;\n", "its first line has path;character;faces. Columns are parted by commas"),
        ("Path,Character,faces\na.png,x,\n", "its first line has Path, Character, faces. Small letters count"),
        ("path,character,faces\n ,x,0 0 1 1\n", "line 2: the cell 'path' names no file"),
        ("path,character,faces\na\0.png,x,0 0 1 1\n", "line 2: the cell 'path' names no file"),
        ("path,character,faces,split\na.png,x,0 0 1 1,test\nb.png,x,0 0 1 1,\n", "1 of 2 pictures have no split"),
        ("", "its first line has none"),
        ("path,character,faces,split\na.png,x,0 0 1 1,holdout\n", "line 2: split is train, val or test"),
    ],
)
def test_what_is_wrong_is_said(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        manifest.read(written(tmp_path, text), label="character", faces=True)


def test_what_a_spreadsheet_saves_is_read(tmp_path: Path) -> None:
    text = "path, character ,split,note\r\na.png, 初音ミク,Training,x,one,more\r\n\r\nb.png,Стрелок,valid\r\n"
    (tmp_path / "manifest.csv").write_bytes(b"\xef\xbb\xbf" + text.encode())
    found = manifest.read(tmp_path, label="character")
    assert [(sample.label, sample.split) for sample in found] == [("初音ミク", "train"), ("Стрелок", "val")]
    assert manifest.columns(tmp_path) == {"path", "character", "split", "note"}
    (tmp_path / "manifest.csv").write_bytes("path,character\na.png,Müller\n".encode("latin-1"))
    with pytest.raises(InvalidInput, match="Save it as CSV"):
        manifest.read(tmp_path, label="character")


def test_folders_of_splits_stand_above_the_classes(tmp_path: Path) -> None:
    for name in ("Train/saber", "train/../Train/rin/deep", "Validation/saber", "test/rin"):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "1.png").touch()
    found = manifest.read(tmp_path, label="character")
    assert [(sample.label, sample.split) for sample in found] == [
        ("rin", "train"), ("saber", "train"), ("saber", "val"), ("rin", "test"),
    ]  # fmt: skip
    (tmp_path / "test" / "2.png").touch()
    with pytest.raises(InvalidInput, match=r"2\.png lies in no class's folder"):
        manifest.read(tmp_path, label="character")


def test_rows_of_commas_are_none(tmp_path: Path) -> None:
    assert len(manifest.read(written(tmp_path, "path,character\na.png,x\n,\n,,,\n"), label="character")) == 1


def test_subfolders_are_classes_and_what_is_hidden_is_none(tmp_path: Path) -> None:
    for name in ("saber", ".previews", "saber/2024/summer", "saber/.cache"):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "1.png").touch()
    (tmp_path / "saber" / "._1.png").touch()
    (tmp_path / "saber" / "notes.txt").touch()
    found = manifest.read(tmp_path, label="character")
    assert [sample.label for sample in found] == ["saber", "saber"]
    assert [str(sample.path.relative_to(tmp_path)) for sample in found] == ["saber/1.png", "saber/2024/summer/1.png"]


def test_thinning() -> None:
    samples = [manifest.Sample(Path(str(n)), "ab"[n % 2], str(n)) for n in range(10)]
    assert [sample.path.name for sample in manifest.at_most(samples, 2)] == ["0", "1", "2", "3"]
    assert [sample.path.name for sample in manifest.evenly(samples, 4)] == ["0", "3", "6", "9"]
    assert len(manifest.at_least([*samples, manifest.Sample(Path("z"), "c", "z")], 2)) == 10


@pytest.mark.parametrize(
    "row", [b"x.png,a,g,train,1 2,,", b"x.png,a,g,train,a b c d,,", b"x.png,a,g,train,,{,", b"\xff"], ids=repr
)
def test_damaged_books_are_told(tmp_path: Path, row: bytes) -> None:
    (tmp_path / manifest.BOOKS).write_bytes(",".join(manifest.COLUMNS).encode() + b"\n" + row + b"\n")
    with pytest.raises(InvalidInput, match=manifest.BOOKS):
        manifest.read(tmp_path, label="character")


def test_a_manifest_goes_before_books(tmp_path: Path) -> None:
    (tmp_path / manifest.BOOKS).write_text("path\n")
    (tmp_path / "a.png").write_bytes(b"")
    (tmp_path / manifest.MANIFEST).write_text("path,character\na.png,ann\n")
    assert [sample.label for sample in manifest.read(tmp_path, label="character")] == ["ann"]
