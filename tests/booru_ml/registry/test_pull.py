"""Checkpoints are fetched from strangers: what is taken, what is refused, and what stays when something breaks off."""

from __future__ import annotations

import hashlib
import json
import pickle
import tarfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from django.core.management import call_command

from booru_ml import intake
from booru_ml.checkpoint import Checkpoint, files
from booru_ml.checkpoint.pull import from_hub, from_url
from booru_ml.checkpoint.shelf import Shelf
from booru_ml.errors import BooruError, CheckpointError, InvalidInput
from tests.booru_ml.registry.shelves import Bomb, contents, sound
from tests.booru_ml.registry.web import Server


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
        return shelf.put(from_url(url, sha256, shelf, room)[0], sound).checkpoint


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


def test_pieces_that_break_off_are_told_in_a_sentence(shelf, server):
    server.files["/m.tar"] = b"ff\r\nthe first bytes of a longer piece"
    server.headers["/m.tar"] = {"Transfer-Encoding": "chunked"}
    with pytest.raises(CheckpointError, match=r"cannot be fetched: IncompleteRead.*Run the same command"):
        fetch(shelf, f"{server.url}/m.tar", "0" * 64)


@pytest.mark.django_db
def test_what_is_wrong_is_told_of_the_address(settings, shelf, server, folder, tmp_path):
    settings.BOORU_ML = {**settings.BOORU_ML, "MODELS_DIR": str(shelf.folder)}
    source = folder()
    (source / "thresholds.csv").write_text("threshold\n0.1\n")  # not what its sum is of
    with tarfile.open(tmp_path / "edited.tar", "w") as packed:
        packed.add(source, arcname="nsfwjs")
    server.files = {"/edited.tar": (tmp_path / "edited.tar").read_bytes(), "/page": b"<html>Log in</html>"}
    for path, why in (("/edited.tar", "/nsfwjs: thresholds.csv differs"), ("/page", " is no sound zip or tar")):
        with pytest.raises(CheckpointError, match=f"{server.url}{path}{why}") as caught:
            intake.pull_from_url(f"{server.url}{path}", sha256=hashlib.sha256(server.files[path]).hexdigest().upper())
        assert str(shelf.folder) not in caught.value.message


@pytest.mark.django_db
def test_members_that_were_not_taken_are_named_shortly(settings, monkeypatch, capsys, shelf, server, folder, tmp_path):
    settings.BOORU_ML = {**settings.BOORU_ML, "MODELS_DIR": str(shelf.folder)}
    monkeypatch.setattr("booru_ml.nn.verification.verify", sound)
    source = folder()
    (source / "README.md").write_text("beside a card")
    (source / ".gitattributes").touch()
    (source / "samples").mkdir()
    for name in ("pytorch_model.bin", "evil\x1b[2J.py", "x" * 100, *(f"samples/{n:02}.png" for n in range(20))):
        (source / name).touch()
    with tarfile.open(tmp_path / "m.tar", "w") as packed:
        packed.add(source, arcname="nsfwjs")
    server.files["/m.tar"] = (tmp_path / "m.tar").read_bytes()
    call_command("booru_model", "pull", f"{server.url}/m.tar", "--sha256", files.sha256(tmp_path / "m.tar"))
    (line,) = [line for line in capsys.readouterr().out.splitlines() if "left behind" in line]
    assert all(name in line for name in ("README.md", "pytorch_model.bin", r"evil\x1b[2J.py", "samples/00.png"))
    assert ".gitattributes" not in line
    assert len(line) < 300
    assert line.endswith("and 18 more")


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
LISTING = f"/api/models/someone/Some-Tagger/revision/{REVISION}"
FILES = f"/someone/Some-Tagger/resolve/{REVISION}"


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
        where = f"{FILES}/{path.name}"
        server.files[where] = data
        server.headers[where] = {"ETag": f'"{sum256 if large else blob}"', "X-Repo-Commit": REVISION}
    said = {"id": "someone/Some-Tagger", "sha": REVISION, "siblings": siblings, "private": False, "tags": []}
    server.files[LISTING] = json.dumps(said).encode()
    server.headers[LISTING] = {"Content-Type": "application/json"}
    return server


def from_there(shelf: Shelf, hub: Server, revision: str = REVISION) -> Checkpoint:
    with shelf.room() as room:
        return shelf.put(from_hub("someone/Some-Tagger", revision, room, endpoint=hub.url)[0], sound).checkpoint


def test_a_pinned_revision_comes_without_its_pickle(shelf, hub):
    found = from_there(shelf, hub)
    assert set(found.heads) == {"nsfw", "rating", "medium"}
    assert f"someone/Some-Tagger at {REVISION}" in (found.path / "card.md").read_text()
    assert not any(path.endswith(".bin") for path, _ in hub.asked)
    assert found.has_onnx  # Ours; a folder without our section has somebody else's, which is not even fetched.


def test_an_export_of_another_layout_is_not_even_fetched(shelf, hub):
    where = f"{FILES}/config.json"
    data = json.dumps({"architecture": "mobilenetv2_100", "num_features": 1280, "num_classes": 0}).encode()
    said = json.loads(hub.files[LISTING])
    blob = hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()
    (entry,) = [item for item in said["siblings"] if item["rfilename"] == "config.json"]
    entry |= {"blobId": blob, "size": len(data)}
    hub.files |= {where: data, LISTING: json.dumps(said).encode()}
    hub.headers[where]["ETag"] = f'"{blob}"'
    with shelf.room() as room:
        folder, left = from_hub("someone/Some-Tagger", REVISION, room, endpoint=hub.url)
        assert set(left) == {"pytorch_model.bin", "model.onnx"}
        assert {path.name for path in folder.iterdir()} >= {"config.json", "model.safetensors", "SHA256SUMS"}
    assert not any(path.endswith(".onnx") for path, _ in hub.asked)


@pytest.mark.parametrize("revision", ["main", "v1.0", REVISION[:12], REVISION.upper(), ""])
def test_a_revision_that_may_move_is_refused(shelf, hub, revision):
    with pytest.raises(InvalidInput, match="full commit hash"):
        from_there(shelf, hub, revision)
    assert hub.asked == []


def test_a_hub_that_cannot_be_reached_is_told_in_a_sentence(shelf, hub):
    hub.shutdown()
    hub.server_close()
    with pytest.raises(CheckpointError, match=r"someone/Some-Tagger cannot be fetched: .*refused"):
        from_there(shelf, hub)
    assert contents(shelf) == []


@pytest.mark.parametrize("name", ["model.safetensors", "config.json"])
def test_a_file_that_is_not_the_commits_is_refused(shelf, hub, name):
    where = f"{FILES}/{name}"
    data = bytearray(hub.files[where])
    data[len(data) // 2] ^= 1
    hub.files[where] = bytes(data)
    with pytest.raises(BooruError, match=r"is not the file|cannot be fetched"):
        from_there(shelf, hub)
    assert contents(shelf) == []
