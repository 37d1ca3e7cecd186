"""Files are written whole or not at all, whoever else writes them or was killed over it."""

from __future__ import annotations

import os
from pathlib import Path

from booru_ml.disk import whole


def test_two_that_write_one_file_at_once_each_write_a_whole_one(tmp_path: Path) -> None:
    with whole(tmp_path / "report.json") as one, one.open("w") as first:
        first.write("the first")
        with whole(tmp_path / "report.json") as other:
            other.write_text("2nd")
        assert (tmp_path / "report.json").read_text() == "2nd"
    assert (tmp_path / "report.json").read_text() == "the first"
    assert [path.name for path in tmp_path.iterdir()] == ["report.json"]


def test_what_a_killed_process_left_is_swept_by_the_next_one(tmp_path: Path) -> None:
    old, young, strange = (tmp_path / f".partial-{name}" for name in ("1-a[b].csv", "2-a[b].csv", "1-a.csv"))
    for path in (old, young, strange):
        path.write_text("half of it")
    for path in (old, strange):
        os.utime(path, (0, 0))
    with whole(tmp_path / "a[b].csv") as partial:
        partial.write_text("all of it")
    assert sorted(path.name for path in tmp_path.iterdir()) == [strange.name, young.name, "a[b].csv"]
