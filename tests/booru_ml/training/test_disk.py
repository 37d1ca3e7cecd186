"""A disk that is full or locked costs a training no more than the work since its last state."""

from __future__ import annotations

from io import StringIO
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from booru_ml.checkpoint import Checkpoint
from booru_ml.training.runs import Run
from tests import disks
from tests.booru_ml.training import folders, pictures
from tests.booru_ml.training.test_networks import FAST

pytestmark = pytest.mark.torch


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return pictures.folder(tmp_path_factory.mktemp("set") / "drawn", split=True)


def train(data: Path, out: Path) -> str:
    said = StringIO()
    given = ("--data", data, *FAST, "--epochs", 2, "--out", out)
    call_command("booru_train", "characters", *map(str, given), stdout=said, no_color=True)
    return said.getvalue()


def files(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir() if path.is_file()}


def full(data: Path, disk: Path, what: str) -> None:
    """Trains until ``what`` finds no room; nothing half-written is left."""
    reason = ".*No space left on device.*Make room there"
    with pytest.raises(CommandError, match=f"{disk / what} cannot be written: {reason}"):
        train(data, disk / "who")
    assert not [path for path in disk.rglob("*") if "partial" in path.name]


def test_a_training_goes_on_from_its_last_state_when_there_is_room(data: Path) -> None:
    with disks.small_disk("64k") as disk:
        full(data, disk, "who.run/state.pt")
        state = Run(disk / "who").load()
        assert state is not None
        assert state["progress"]["epoch"] == 1
        disks.remount(disk, "size=16m")
        assert "written into" in train(data, disk / "who")
        assert Checkpoint.load(disk / "who").name == "who"
        assert {"curve.csv", "curve.png", "report.json", "per_class.csv"} <= files(disk / "who.run")


# The book's first lines, a drawing of the report, the checkpoint itself: by the room that is left for them.
@pytest.mark.parametrize(("room", "what"), [("4k", "who.run/data.txt"), ("80k", "who.run/curve.png"), ("128k", "who")])
def test_what_finds_no_room_is_named_and_not_there(data: Path, room: str, what: str) -> None:
    with disks.small_disk(room) as disk:
        full(data, disk, what)
        assert not (disk / what).exists()


def test_a_locked_disk_is_named_before_the_work(data: Path, checkpoint: Path, tmp_path: Path) -> None:
    drawings = folders.drawings(tmp_path / "drawings", characters=12)
    asked = ["characters", "--data", str(drawings), "--model", str(checkpoint)]
    with disks.small_disk("1m") as disk:
        disks.remount(disk, "ro")
        with pytest.raises(CommandError, match=f"{disk / 'who.run'} cannot be written: Read-only"):
            train(data, disk / "who")
        for place in (["--json", str(disk / "a.json")], ["--report", str(disk / "report")]):
            with pytest.raises(CommandError, match=f"{disk}.* cannot be written: Read-only"):
                call_command("booru_evaluate", *asked, *place)


def test_a_report_that_does_not_fit_leaves_the_one_that_was_there(checkpoint: Path, tmp_path: Path) -> None:
    drawings = folders.drawings(tmp_path / "drawings", characters=12)
    asked = ["characters", "--data", str(drawings), "--model", str(checkpoint), "--resamples", "9", "--folds", "2"]
    with disks.small_disk("8k") as disk:
        (disk / "characters.html").write_text("the one before")
        with pytest.raises(CommandError, match=f"{disk / 'characters.html'} cannot be written: No space"):
            call_command("booru_evaluate", *asked, "--report", str(disk), stdout=StringIO())
        assert (disk / "characters.html").read_text() == "the one before"
        assert files(disk) == {"characters.html", "characters.txt"}
