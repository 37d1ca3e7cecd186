"""``booru_check_images``: one line for everything that lies in a folder, whatever lies there."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from PIL import Image

from booru_ml.pipeline.images.refusals import CODES
from tests.booru_ml.images.pictures import encoded

GOOD = encoded(Image.new("RGB", (8, 6), "red"), "PNG")
CLEAR = encoded(Image.new("RGBA", (8, 6)), "PNG")
ROOT = Path(__file__).parents[3]


def checked(folder: Path) -> list[dict[str, Any]]:
    out = io.StringIO()
    call_command("booru_check_images", folder, json=True, stdout=out)
    return [json.loads(line) for line in out.getvalue().splitlines()]


def test_every_file_gets_an_object_in_order_of_its_path(tmp_path: Path) -> None:
    (tmp_path / "b" / "deep").mkdir(parents=True)
    (tmp_path / "b" / "deep" / "good.png").write_bytes(GOOD)
    (tmp_path / "b" / "clear.jpg").write_bytes(CLEAR)
    (tmp_path / "a.txt").write_text("no picture")
    (tmp_path / "c").touch()
    found = checked(tmp_path)
    assert [item["path"] for item in found] == ["a.txt", "b/clear.jpg", "b/deep/good.png", "c"]
    assert [item["outcome"] for item in found] == ["reject", "accept-converted", "accept", "reject"]
    assert [item["code"] for item in found] == ["format", None, None, "empty"]
    assert all(item["message"] for item in found)
    assert found[2] | {"message": ""} == {
        "path": "b/deep/good.png",
        "outcome": "accept",
        "code": None,
        "message": "",
        "width": 8,
        "height": 6,
        "frames": 1,
        "conversions": [],
    }


def test_links_and_pipes_are_named_but_not_opened(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "good.png").write_bytes(GOOD)
    (tmp_path / "loop").symlink_to(tmp_path)
    (tmp_path / "link.png").symlink_to(tmp_path / "real" / "good.png")
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere")
    os.mkfifo(tmp_path / "pipe.png")
    found = {item["path"]: item for item in checked(tmp_path)}
    assert set(found) == {"dangling", "link.png", "loop", "pipe.png", "real/good.png"}
    assert {path for path, item in found.items() if item["code"] == "not-a-file"} == set(found) - {"real/good.png"}


def test_unreadable_files_and_folders_are_named(tmp_path: Path) -> None:
    if os.geteuid() == 0:
        pytest.skip("nothing is unreadable for root")
    (tmp_path / "file").touch(mode=0)
    (tmp_path / "folder").mkdir(mode=0)
    assert [item["code"] for item in checked(tmp_path)] == ["unreadable", "unreadable"]


@pytest.mark.parametrize("name", [b"\xff\xfe.png", b"new\nline.png", b"\x1b[31mred.png", "絵 🎨.png".encode(), b"-rf"])
def test_odd_names_survive_and_harm_nobody(name: bytes, tmp_path: Path) -> None:
    (tmp_path / os.fsdecode(name)).write_bytes(GOOD)
    (found,) = checked(tmp_path)
    assert os.fsencode(found["path"]) == name
    out = io.StringIO()
    call_command("booru_check_images", tmp_path, stdout=out, no_color=True)
    line = out.getvalue().splitlines()[0]
    assert line.startswith("accept ")
    assert line.isprintable()


def test_the_table_ends_with_a_summary(tmp_path: Path) -> None:
    (tmp_path / "good.png").write_bytes(GOOD)
    (tmp_path / "bad.png").write_bytes(GOOD[:40])
    out = io.StringIO()
    call_command("booru_check_images", tmp_path, stdout=out, no_color=True)
    assert [line.split() for line in out.getvalue().splitlines()[-3:]] == [
        ["1", "accept"],
        ["1", "reject", "(corrupt)"],
        ["2", "files"],
    ]


def test_one_file_may_be_checked_by_itself(tmp_path: Path) -> None:
    (tmp_path / "good.png").write_bytes(GOOD)
    assert [item["path"] for item in checked(tmp_path / "good.png")] == ["good.png"]


def test_limits_are_those_of_the_settings(tmp_path: Path, settings: Any) -> None:
    settings.BOORU_ML = {**settings.BOORU_ML, "MAX_PIXELS": 47}
    (tmp_path / "good.png").write_bytes(GOOD)
    (found,) = checked(tmp_path)
    assert found["code"] == "too-many-pixels"
    assert "8 × 6" in found["message"]


def test_every_refusal_is_a_sentence_that_says_what_is_accepted_or_what_to_do() -> None:
    from booru_ml.pipeline.images import Limits
    from booru_ml.pipeline.images.refusals import sentence

    for code in CODES:
        text = sentence(code, Limits())
        assert text[0].isupper()
        assert text.endswith(".")
        assert len(text) > 30
        assert "{" not in text


def test_a_missing_folder_is_an_error_with_status_2(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="There is no folder") as error:
        call_command("booru_check_images", tmp_path / "missing")
    assert error.value.returncode == 2


def test_it_needs_no_database_and_ends_with_0_however_bad_the_files_are(tmp_path: Path) -> None:
    (tmp_path / "bad.png").write_bytes(b"bad")
    environment = {
        **os.environ,
        "DATABASE_URL": "postgres://nobody:x@127.0.0.1:1/none",
        "REDIS_URL": "redis://127.0.0.1:1",
    }
    environment["DJANGO_SETTINGS_MODULE"] = "deploy.demo.settings"
    done = subprocess.run(
        [sys.executable, "manage.py", "booru_check_images", tmp_path, "--json"],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)["code"] == "format"
