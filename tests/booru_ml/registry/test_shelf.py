"""Checkpoints come from strangers: what is taken, what is refused, and what stays when something breaks off."""

from __future__ import annotations

import hashlib
import io
import json
import os
import pickle
import tarfile
import threading
import zipfile
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from booru_ml.checkpoint import Checkpoint, files
from booru_ml.checkpoint.archives import unpack
from booru_ml.checkpoint.pull import from_hub, from_url
from booru_ml.checkpoint.shelf import STALE_SECONDS, Shelf
from booru_ml.errors import BooruError, CheckpointError, InvalidInput


def sound(checkpoint: Checkpoint) -> None:
    """Stands for running the network, which ``test_intake`` does."""


class Bomb:
    def __reduce__(self) -> Any:
        return os._exit, (1,)


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    return Shelf(tmp_path / "models")


def contents(shelf: Shelf) -> list[str]:
    return sorted(str(path.relative_to(shelf.folder)) for path in shelf.folder.rglob("*") if path.is_file())


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
    from booru_ml.checkpoint import pin

    pin(source)
    kept = shelf.put(source, sound)
    assert set(kept.left) == {"pytorch_model.bin", "handler.py", "model.onnx"}
    assert not kept.checkpoint.has_onnx
    assert all(Path(name).name in {*files.KNOWN, files.SUMS} for name in contents(shelf))


def test_a_candidate_that_does_not_run_leaves_nothing(shelf, folder):
    def broken(checkpoint: Checkpoint) -> None:
        raise CheckpointError("head rating gives numbers that are not finite")

    with pytest.raises(CheckpointError, match="not finite"):
        shelf.put(folder(), broken)
    assert contents(shelf) == []


def test_what_a_killed_process_left_is_swept_after_a_day(shelf, folder):
    old = shelf.folder / ".partial-1"
    old.mkdir(parents=True)
    os.utime(old, (0, 0))
    young = shelf.folder / ".partial-2"
    young.mkdir()
    shelf.put(folder(), sound)
    assert not old.exists()
    assert young.exists()
    assert STALE_SECONDS > 3600


def test_two_that_add_the_same_at_once_both_get_it(shelf, folder):
    source = folder()
    inside = threading.Barrier(2, timeout=20)
    found: list[Any] = []

    def put() -> None:
        found.append(shelf.put(source, lambda _: inside.wait()).checkpoint.path)

    threads = [threading.Thread(target=put) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 2
    assert found[0] == found[1]
    Checkpoint.load(found[0])


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


# --- Addresses


class Server(ThreadingHTTPServer):
    """Serves ``files`` by path; ``cut`` bytes of an answer are sent, then the line goes dead, once."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.files: dict[str, bytes] = {}
        self.headers: dict[str, dict[str, str]] = {}
        self.redirects: dict[str, str] = {}
        self.cut = 0
        self.asked: list[tuple[str, str]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        path = self.path.split("?")[0]
        self.server.asked.append((path, self.headers.get("Range", "")))
        if path in self.server.redirects:
            self.send_response(302)
            self.send_header("Location", self.server.redirects[path])
            self.end_headers()
            return
        if path not in self.server.files:
            self.send_error(404)
            return
        data, start = self.server.files[path], 0
        if said := self.headers.get("Range", "").removeprefix("bytes="):
            start = int(said.split("-")[0])
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(data) - start))
        for key, value in self.server.headers.get(path, {}).items():
            self.send_header(key, value)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
        self.end_headers()
        if self.command == "HEAD":
            return
        cut, self.server.cut = self.server.cut, 0
        self.wfile.write(data[start:][: cut or None])

    def log_message(self, *args: Any) -> None: ...


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as running:
        threading.Thread(target=running.serve_forever, args=[0.02], daemon=True).start()
        yield running
        running.shutdown()


@pytest.fixture
def archive(folder: Callable[..., Path], tmp_path: Path) -> bytes:
    with tarfile.open(tmp_path / "m.tar", "w") as packed:
        packed.add(folder(), arcname="nsfwjs")
    return (tmp_path / "m.tar").read_bytes()


def fetch(shelf: Shelf, url: str, sha256: str) -> Checkpoint:
    with shelf.room() as room:
        return shelf.put(from_url(url, sha256, shelf, room), sound).checkpoint


def test_an_archive_is_fetched_by_its_sum_and_goes_on_where_it_broke_off(shelf, server, archive, folder):
    server.files["/m.tar"] = archive
    server.cut = len(archive) // 2
    digest = hashlib.sha256(archive).hexdigest()
    with pytest.raises(CheckpointError, match="Run the same command"):
        fetch(shelf, f"{server.url}/m.tar", digest)
    found = fetch(shelf, f"{server.url}/m.tar", digest)
    assert found.version == Checkpoint.read(folder(name="again")).version
    assert server.asked[-1][1] == f"bytes={len(archive) // 2}-"
    assert not [name for name in contents(shelf) if name.startswith(".")]


def test_another_file_than_the_pinned_one_is_thrown_away(shelf, server, archive):
    server.files["/m.tar"] = archive
    with pytest.raises(CheckpointError, match="Nothing was kept"):
        fetch(shelf, f"{server.url}/m.tar", "0" * 64)
    assert contents(shelf) == []


@pytest.mark.parametrize("address", ["file:///etc/passwd", "ftp://127.0.0.1/m.tar", "data:,x"])
def test_only_the_web_is_fetched_even_after_a_redirect(shelf, server, address):
    with pytest.raises(InvalidInput, match="http"):
        fetch(shelf, address, "0" * 64)
    server.redirects["/m.tar"] = address
    with pytest.raises(CheckpointError, match="cannot be fetched"):
        fetch(shelf, f"{server.url}/m.tar", "0" * 64)


def test_a_file_that_says_it_is_huge_is_not_fetched(shelf, server, monkeypatch):
    monkeypatch.setattr(files, "LARGEST", 1000)
    server.files["/m.tar"] = b"x" * 1001
    with pytest.raises(CheckpointError, match="larger"):
        fetch(shelf, f"{server.url}/m.tar", "0" * 64)
    assert contents(shelf) == []


# --- The hub

REVISION = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def hub(server: Server, folder: Callable[..., Path]) -> Server:
    """Answers as the Hugging Face hub does, for one repository with a pickle and an export in it, too."""
    pytest.importorskip("huggingface_hub", reason="needs booru-ml[hub]")
    source = folder()
    (source / "SHA256SUMS").unlink()
    (source / "card.md").rename(source / "README.md")
    (source / "pytorch_model.bin").write_bytes(pickle.dumps(Bomb()))
    siblings = []
    for path in sorted(source.iterdir()):
        data, sum256 = path.read_bytes(), files.sha256(path)
        blob = hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()
        large = path.suffix in (".safetensors", ".onnx", ".bin")
        lfs = {"lfs": {"sha256": sum256, "size": len(data), "pointerSize": 130}} if large else {}
        siblings.append({"rfilename": path.name, "size": len(data), "blobId": blob, **lfs})
        where = f"/someone/Some-Tagger/resolve/{REVISION}/{path.name}"
        server.files[where] = data
        server.headers[where] = {"ETag": f'"{sum256 if large else blob}"', "X-Repo-Commit": REVISION}
    said = {"id": "someone/Some-Tagger", "sha": REVISION, "siblings": siblings, "private": False, "tags": []}
    server.files[f"/api/models/someone/Some-Tagger/revision/{REVISION}"] = json.dumps(said).encode()
    for path in ("/api/models/someone/Some-Tagger/revision/" + REVISION,):
        server.headers[path] = {"Content-Type": "application/json"}
    return server


def from_there(shelf: Shelf, hub: Server, revision: str = REVISION) -> Checkpoint:
    with shelf.room() as room:
        return shelf.put(from_hub("someone/Some-Tagger", revision, room, endpoint=hub.url), sound).checkpoint


def test_a_pinned_revision_comes_without_its_pickle(shelf, hub):
    found = from_there(shelf, hub)
    assert set(found.heads) == {"nsfw", "rating", "medium"}
    assert f"someone/Some-Tagger at {REVISION}" in (found.path / "card.md").read_text()
    assert not any(path.endswith(".bin") for path, _ in hub.asked)
    assert found.has_onnx  # Ours; a folder without our section has somebody else's, which is not even fetched.


def test_an_export_of_another_layout_is_not_even_fetched(shelf, hub):
    where = f"/someone/Some-Tagger/resolve/{REVISION}/config.json"
    listing = f"/api/models/someone/Some-Tagger/revision/{REVISION}"
    data = json.dumps({"architecture": "mobilenetv2_100", "num_features": 1280, "num_classes": 0}).encode()
    said = json.loads(hub.files[listing])
    blob = hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()
    (entry,) = [item for item in said["siblings"] if item["rfilename"] == "config.json"]
    entry |= {"blobId": blob, "size": len(data)}
    hub.files |= {where: data, listing: json.dumps(said).encode()}
    hub.headers[where]["ETag"] = f'"{blob}"'
    with shelf.room() as room:
        folder = from_hub("someone/Some-Tagger", REVISION, room, endpoint=hub.url)
        assert {path.name for path in folder.iterdir()} >= {"config.json", "model.safetensors", "SHA256SUMS"}
    assert not any(path.endswith(".onnx") for path, _ in hub.asked)


@pytest.mark.parametrize("revision", ["main", "v1.0", REVISION[:12], REVISION.upper(), ""])
def test_a_revision_that_may_move_is_refused(shelf, hub, revision):
    with pytest.raises(InvalidInput, match="full commit hash"):
        from_there(shelf, hub, revision)
    assert hub.asked == []


@pytest.mark.parametrize("name", ["model.safetensors", "config.json"])
def test_a_file_that_is_not_the_commits_is_refused(shelf, hub, name):
    where = f"/someone/Some-Tagger/resolve/{REVISION}/{name}"
    data = bytearray(hub.files[where])
    data[len(data) // 2] ^= 1
    hub.files[where] = bytes(data)
    with pytest.raises(BooruError, match=r"is not the file|cannot be fetched"):
        from_there(shelf, hub)
    assert contents(shelf) == []
