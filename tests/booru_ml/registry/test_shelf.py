"""Checkpoints come from strangers, as folders and archives: what is taken, what is refused, and what stays."""

from __future__ import annotations

import io
import os
import pickle
import tarfile
import threading
import zipfile
from pathlib import Path

import pytest

from booru_ml.checkpoint import Checkpoint, files, pin
from booru_ml.checkpoint.archives import unpack
from booru_ml.checkpoint.shelf import STALE_SECONDS, Shelf
from booru_ml.errors import CheckpointError
from tests.booru_ml.registry.shelves import Bomb, contents, sound
from tests.threads import together

# --- Folders


def test_a_folder_is_kept_under_its_version_and_stays_the_same_model(shelf, folder):
    source = folder()
    kept = shelf.put(source, sound)
    assert kept.checkpoint.version == Checkpoint.read(source).version
    assert kept.checkpoint.path == shelf.folder / kept.checkpoint.version.split("@")[1] / "nsfwjs"
    Checkpoint.load(kept.checkpoint.path)
    assert shelf.put(source, sound).checkpoint.path == kept.checkpoint.path  # again: nothing to do


def test_pickles_and_other_strangers_are_left_behind_unread(shelf, folder):
    source = folder()
    (source / "pytorch_model.bin").write_bytes(pickle.dumps(Bomb()))
    (source / "handler.py").write_text("raise SystemExit")
    (source / "model.onnx").write_bytes(b"somebody else's export")
    pin(source)
    kept = shelf.put(source, sound)
    assert set(kept.left) == {"pytorch_model.bin", "handler.py", "model.onnx"}
    assert not kept.checkpoint.has_onnx
    assert all(Path(name).name in {*files.KNOWN, files.SUMS} for name in contents(shelf))


def test_a_candidate_that_does_not_run_leaves_nothing(shelf, folder):
    def broken(checkpoint: Checkpoint) -> None:
        raise CheckpointError(f"Checkpoint {checkpoint.path}: head rating gives numbers that are not finite")

    source = folder()
    with pytest.raises(CheckpointError, match=f"Checkpoint {source}: head .* not finite"):
        shelf.put(source, broken)
    assert contents(shelf) == []


def test_what_a_killed_process_left_is_swept_after_a_day(shelf, folder):
    old = shelf.folder / ".partial-1"
    old.mkdir(parents=True)
    download = shelf.folder / ".download-1"
    download.touch()
    os.utime(old, (0, 0))
    os.utime(download, (0, 0))
    young = shelf.folder / ".partial-2"
    young.mkdir()
    shelf.put(folder(), sound)
    assert not old.exists()
    assert not download.exists()
    assert young.exists()
    assert STALE_SECONDS > 3600


@pytest.mark.parametrize("name", ["heads.safetensors", "card.md", "SHA256SUMS", "config.json"])
@pytest.mark.parametrize("gone", [True, False])
def test_a_copy_that_was_damaged_is_replaced_by_a_good_one(shelf, folder, name, gone):
    path = shelf.put(folder(), sound).checkpoint.path
    if gone:
        (path / name).unlink()
    else:
        data = bytearray((path / name).read_bytes())
        data[len(data) // 2] ^= 1
        (path / name).write_bytes(data)
    assert shelf.put(folder(name="again"), sound).checkpoint.path == path
    Checkpoint.load(path)
    assert {Path(name).parent for name in contents(shelf)} == {path.relative_to(shelf.folder)}


def test_two_that_add_the_same_at_once_both_get_it(shelf, folder):
    source = folder()
    inside = threading.Barrier(2, timeout=20)
    one, other = together(*[lambda: shelf.put(source, lambda _: inside.wait()).checkpoint.path] * 2)
    assert one == other
    Checkpoint.load(one)


def test_what_is_kept_is_on_the_disk_as_a_whole_before_it_has_its_name(shelf, folder, monkeypatch):
    synced = []
    monkeypatch.setattr(os, "fsync", lambda handle: synced.append(os.fstat(handle).st_ino))
    path = shelf.put(folder(), sound).checkpoint.path
    assert {place.stat().st_ino for place in (*path.iterdir(), path, path.parent, shelf.folder)} == set(synced)


def test_a_full_disk_says_where_room_is_needed(folder, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(CheckpointError, match="MODELS_DIR"):
        Shelf(tmp_path / "file" / "models").put(folder(), sound)


# --- Archives


def tar(path: Path, *members: tuple[tarfile.TarInfo, bytes]) -> Path:
    with tarfile.open(path, "w:gz") as archive:
        for info, data in members:
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return path


def member(name: str, kind: bytes = tarfile.REGTYPE, link: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, link
    return info


@pytest.mark.parametrize(
    ("members", "why"),
    [
        ([(member("m/../../config.json"), b"{}")], "leads out"),
        ([(member("/etc/config.json"), b"{}")], "leads out"),
        ([(member("m/config.json"), b"{}"), (member("m/../../notes.txt"), b"")], "leads out"),
        ([(member("m/config.json"), b"{}"), (member("/etc/passwd", tarfile.SYMTYPE, "/"), b"")], "leads out"),
        ([(member("m/model.safetensors", tarfile.SYMTYPE, "/etc/passwd"), b"")], "link"),
        ([(member("m/model.safetensors", tarfile.LNKTYPE, "m/other"), b"")], "link"),
        ([(member("m/config.json", tarfile.FIFOTYPE), b"")], "link or a device"),
        ([(member("a/config.json"), b"{}"), (member("b/config.json"), b"{}")], "several"),
        ([(member("m/config.json"), b"{}"), (member("m/config.json"), b"[]")], "several"),
        ([(member("m/config.json"), b" " * (files.MIB + 1))], "larger than"),
        ([(member("m/evil.py"), b"")], "holds no checkpoint"),
    ],
)
def test_a_hostile_archive_is_refused_and_writes_nowhere_else(tmp_path, members, why):
    inside = tmp_path / "a" / "b"
    inside.mkdir(parents=True)
    with pytest.raises(CheckpointError, match=why):
        unpack(tar(tmp_path / "model.tar.gz", *members), inside)
    assert {path.name for path in tmp_path.rglob("*") if path.is_file()} <= {"model.tar.gz", "config.json"}
    assert not (tmp_path / "config.json").exists()


def test_a_zip_bomb_is_cut_off_at_what_the_file_may_be(tmp_path):
    with zipfile.ZipFile(tmp_path / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("m/config.json", b"\0" * (20 * files.MIB))
    (tmp_path / "out").mkdir()
    with pytest.raises(CheckpointError, match="larger than"):
        unpack(tmp_path / "bomb.zip", tmp_path / "out")
    assert (tmp_path / "out" / "config.json").stat().st_size <= files.MIB


@pytest.mark.parametrize("data", [b"", b"no archive", b"PK\3\4 broken", b"\x1f\x8b\x08 broken"])
def test_what_is_no_archive_says_so(tmp_path, data):
    (tmp_path / "model").write_bytes(data)
    with pytest.raises(CheckpointError, match="no sound zip or tar"):
        unpack(tmp_path / "model", tmp_path)
