"""The procedural artist: deterministic drawings with the truth about them."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from django.core.management import CommandError, call_command
from PIL import Image

from deploy.demo.artist import Finish, character, draw

SMALL = (192, 256)


def pixels(**arguments: object) -> np.ndarray:
    return np.asarray(draw(**{"character": 0, "size": SMALL, **arguments}).image, dtype=float)  # type: ignore[arg-type]


def test_the_same_arguments_give_the_same_picture() -> None:
    assert np.array_equal(pixels(pose=3), pixels(pose=3))


@pytest.mark.parametrize("change", [{"pose": 4}, {"artist": 1}, {"character": 1}, {"finish": "sketch"}, {"costume": 1}])
def test_every_argument_changes_the_picture(change: dict[str, object]) -> None:
    assert np.abs(pixels(pose=3) - pixels(**{"pose": 3, **change})).mean() > 1


def test_characters_have_names_of_their_own() -> None:
    assert len({character(number).name for number in range(300)}) == 300


@pytest.mark.parametrize("finish", ["sketch", "rough", "poor"])
def test_sketches_are_mostly_paper_without_colour(finish: str) -> None:
    sheet = pixels(finish=finish, pose=1)
    assert np.abs(sheet - sheet.mean(axis=2, keepdims=True)).max() < 20
    assert (sheet.mean(axis=2) > 200).mean() > 0.7


def test_faces_are_where_the_drawing_says() -> None:
    """The skin's colour fills the middle of the box in a flat hand."""
    who = character(3)
    drawing = draw(character=3, pose=2, artist=4, size=(384, 512))
    (box,) = drawing.faces
    sheet = np.asarray(drawing.image, dtype=float)
    height, width = sheet.shape[:2]
    middle = sheet[
        int((box.y + box.height * 0.35) * height) : int((box.y + box.height * 0.9) * height),
        int((box.x + box.width * 0.2) * width) : int((box.x + box.width * 0.8) * width),
    ]
    near_skin = np.abs(middle - np.array(who.skin)).max(axis=2) < 30
    assert near_skin.mean() > 0.25


def test_a_group_has_a_face_for_each() -> None:
    drawing = draw(character=(1, 2, 3), size=(600, 400))
    assert drawing.characters == tuple(character(number).name for number in (1, 2, 3))
    assert [box.x for box in drawing.faces] == sorted(box.x for box in drawing.faces)
    assert all(box.x >= 0 and box.x + box.width <= 1.0001 for box in drawing.faces)


def test_the_command_fills_class_folders(tmp_path: Path) -> None:
    out = tmp_path / "set"
    call_command(
        "booru_draw", "--out", str(out), "--characters", "2", "--pictures", "4", "--size", "96", "128", "--finish",
        "finished", "poor",
    )  # fmt: skip
    rows = list(csv.DictReader((out / "manifest.csv").open()))
    assert len(rows) == 8
    assert {row["quality"] for row in rows if row["finish"] == Finish.POOR} == {"0"}
    for row in rows:
        with Image.open(out / row["path"]) as image:
            assert image.size == (96, 128)


def test_the_command_overwrites_nothing(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("keep")
    with pytest.raises(CommandError, match="not an empty folder"):
        call_command("booru_draw", "--out", str(tmp_path))


def test_sets_with_another_first_number_share_nobody(tmp_path: Path) -> None:
    def names(out: str, *flags: str) -> set[str]:
        small = ("--characters", "3", "--pictures", "1", "--size", "32", "48")
        call_command("booru_draw", "--out", str(tmp_path / out), *small, *flags)
        return {row["character"] for row in csv.DictReader((tmp_path / out / "manifest.csv").open())}

    seen = names("seen")
    assert names("again", "--seed", "5") == seen
    assert not names("others", "--first", "3") & seen
