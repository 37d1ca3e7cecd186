from __future__ import annotations

import csv
from pathlib import Path

import pytest

from deploy.demo.launch.pictures import NoPictures, Role, choose, read


def fill(folder: Path, classes: dict[str, int]) -> Path:
    for name, count in classes.items():
        (folder / name).mkdir(parents=True)
        for number in range(count):
            (folder / name / f"{number:03}.png").write_bytes(f"{name} {number}".encode())
    return folder


def roles(samples, role: Role) -> list[str]:
    return [
        str(sample.picture.path.relative_to(sample.picture.path.parents[1]))
        for sample in samples
        if sample.role is role
    ]


def test_classes_are_enrolled_asked_for_or_kept_unknown(tmp_path: Path) -> None:
    folder = fill(tmp_path, {f"Class {letter}": 12 for letter in "abcdefghij"})
    samples = choose(folder, characters=8, support=5, others=40)
    enrolled = {sample.picture.label for sample in samples if sample.role is Role.SUPPORT}
    assert len(enrolled) == 8
    assert [len(roles(samples, role)) for role in Role] == [40, 32, 8]
    assert {sample.picture.label for sample in samples if sample.role is Role.QUERY} == enrolled
    assert enrolled.isdisjoint(sample.picture.label for sample in samples if sample.role is Role.STRANGER)
    assert "class_a" in {sample.picture.label for sample in samples}
    assert samples == choose(folder, characters=8, support=5, others=40)


def test_pictures_of_one_source_stay_on_one_side(tmp_path: Path) -> None:
    fill(tmp_path, {"a": 10, "b": 10})
    with (tmp_path / "manifest.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["path", "character", "group", "split"])
        for name in "ab":
            for number in range(10):
                table.writerow(
                    [f"{name}/{number:03}.png", name, f"{name}{number // 4}", "train" if number < 4 else "test"]
                )
        table.writerow(["../secret.png", "a", "", ""])
        table.writerow(["a/none.png", "a", "", ""])
    samples = choose(tmp_path, characters=2, support=5, others=20)
    groups = {
        role: {sample.picture.group for sample in samples if sample.role is role} for role in (Role.SUPPORT, Role.QUERY)
    }
    assert groups[Role.SUPPORT].isdisjoint(groups[Role.QUERY])
    assert groups[Role.QUERY]
    assert {"a0", "b0"} <= groups[Role.SUPPORT]


def test_a_few_pictures_are_enough(tmp_path: Path) -> None:
    samples = choose(fill(tmp_path, {"a": 2, "b": 3, "c": 1}), characters=8, support=5, others=40)
    assert [name[0] for name in roles(samples, Role.SUPPORT)] == ["a", "b", "b"]
    assert [name[0] for name in roles(samples, Role.QUERY)] == ["a", "b"]
    assert roles(samples, Role.STRANGER) == ["c/000.png"]


def test_the_same_file_twice_counts_once(tmp_path: Path) -> None:
    fill(tmp_path, {"a": 4})
    (tmp_path / "a" / "copy.png").write_bytes(b"a 0")
    samples = choose(tmp_path, characters=1, support=2, others=9)
    assert len({sample.picture.sha256 for sample in samples}) == len(samples) == 4


@pytest.mark.parametrize("layout", ["missing", "a file", "empty", "flat", "lonely", "no columns", "a bad name"])
def test_a_folder_that_cannot_be_used_is_explained(tmp_path: Path, layout: str) -> None:
    folder = tmp_path / "pictures"
    if layout != "missing":
        folder.mkdir()
    if layout == "a file":
        folder = tmp_path / "x.png"
        folder.touch()
    elif layout == "flat":
        (folder / "x.png").touch()
    elif layout == "lonely":
        fill(folder, {"a": 1, "b": 1})
    elif layout == "no columns":
        (folder / "manifest.csv").write_text("file,who\nx,y\n")
    elif layout == "a bad name":
        fill(folder, {"rating:x": 3})
    with pytest.raises(NoPictures) as caught:
        choose(folder, characters=8, support=5, others=40)
    assert str(folder) in str(caught.value) or "rating:x" in str(caught.value)


def test_hidden_files_are_left_alone(tmp_path: Path) -> None:
    fill(tmp_path, {"a": 2, ".cache": 2})
    (tmp_path / "a" / ".DS_Store").touch()
    assert [len(pictures) for pictures in read(tmp_path).values()] == [2]
