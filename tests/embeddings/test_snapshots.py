"""A large index outlives the process on disk; what is there is trusted as far as the database bears it out."""

from __future__ import annotations

import errno
import hashlib
import json
import logging
import os
import resource
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest
from django.db import connection

from embeddings import services, store, upkeep
from embeddings.benchmarks.vectors import drawn
from embeddings.index import snapshots
from embeddings.index.snapshots import Snapshot
from embeddings.models import Vector
from tests.embeddings import large
from tests.embeddings.factories import SIZE, VERSION, Artist, analysis, finding, seen
from tests.embeddings.large import COUNT, answers, nearly, restarted, settled, truth, vectors_read

pytestmark = pytest.mark.django_db(transaction=True)
board, large_soon = large.board, large.large_soon


def test_a_restarted_process_reads_only_what_changed(monkeypatch, board, large_soon):
    settled(monkeypatch)
    assert [path.suffix for path in large_soon.iterdir() if path.suffix == ".index"] == [".index"]
    ids = list(Vector.objects.order_by("id").values_list("id", flat=True))
    Vector.objects.filter(pk__in=ids[3:9]).delete()
    fresh = seen(Artist(seed=9).character())
    newest = Vector.objects.get(post=fresh)
    space = restarted(monkeypatch)
    with vectors_read() as read:
        found = answers(space, board)
    # A transaction of another test process on the same server holds its horizon back; what is newer is read again.
    shared = connection.vendor == "postgresql" and "PYTEST_XDIST_WORKER" in os.environ
    assert newest.pk in read if shared else set(read) == {newest.pk}
    assert nearly(found, truth(board))
    assert space.search(store.decode([newest.data]), 1)[0][0][0] == newest.pk


@pytest.mark.skipif(connection.vendor != "postgresql", reason="only PostgreSQL changes a row in place")
@pytest.mark.postgres
def test_a_row_that_changed_in_place_since_the_snapshot_is_read_again(monkeypatch, board):
    settled(monkeypatch)
    look = Artist(seed=5).character()
    row = Vector.objects.order_by("id")[7]
    fresh = Vector(
        post_id=row.post_id, number=row.number, kind=row.kind, model_version=VERSION, data=store.encode(look)
    )
    Vector.objects.bulk_create(
        [fresh],
        update_conflicts=True,
        unique_fields=["post", "kind", "number", "model_version"],
        update_fields=["data", "stamp"],
    )
    (best, *_), = restarted(monkeypatch).search(look[None], 2)  # fmt: skip
    assert best[0] == row.pk
    assert best[1] > 0.99


def _flip(at: float):
    def damage(data: bytes) -> bytes:
        place = min(int(at * len(data)), len(data) - 1)
        return data[:place] + bytes([data[place] ^ 4]) + data[place + 1 :]

    return damage


def _by_another_release(change: Callable[[dict[str, Any]], Any]):
    def damage(data: bytes) -> bytes:
        start = hashlib.sha256().digest_size
        head = json.loads(data[start : start + snapshots.HEADER])
        change(head)
        rest = json.dumps(head).encode().ljust(snapshots.HEADER) + data[start + snapshots.HEADER :]
        return hashlib.sha256(rest).digest() + rest

    return damage


@pytest.mark.parametrize(
    "damage",
    [_by_another_release(change) for change in (
        lambda head: head.update(format=99), lambda head: head["about"].pop("mark"),
        lambda head: head["about"].update(mark={"row": 1}), lambda head: head.update(effort="much"),
    )] + [lambda data: b"", lambda data: data[:20], lambda data: data[: len(data) // 2], lambda data: data + b"x",
     _flip(0), _flip(0.01), _flip(0.5), _flip(1)],
    ids=["format", "no mark", "another mark", "effort",
         "empty", "no header", "half", "longer", "sum", "header", "middle", "end"],
)  # fmt: skip
def test_a_damaged_snapshot_means_a_rebuild_and_a_good_one(monkeypatch, board, damage, caplog):
    path = upkeep.path_of(settled(monkeypatch))
    path.write_bytes(damage(path.read_bytes()))
    with vectors_read() as read, caplog.at_level(logging.WARNING):
        space = restarted(monkeypatch)
        assert nearly(answers(space, board), truth(board))
    assert len(read) == COUNT
    assert "built from the database again" in caplog.text
    space.keeper.join(20)
    assert snapshots.load(path, lambda about: True) is not None


@pytest.mark.parametrize("forbidden", [["unlink"], ["unlink", "open", "is_file"]])
def test_a_snapshot_that_is_another_users_means_a_rebuild(monkeypatch, board, forbidden):
    path = upkeep.path_of(settled(monkeypatch))
    path.write_bytes(_flip(0.5)(path.read_bytes()))
    for verb in forbidden:
        monkeypatch.setattr(Path, verb, Mock(side_effect=PermissionError(errno.EACCES, "Permission denied")))
    monkeypatch.setattr(upkeep, "MANY", 1)  # so much to do that a better snapshot is looked for first
    space = restarted(monkeypatch)
    assert nearly(answers(space, board), truth(board))
    space.keeper.join(20)
    assert space.index.size == COUNT


def test_a_snapshot_of_another_model_is_not_taken(monkeypatch, board):
    space = settled(monkeypatch)
    about = {"model_version": "other@000000000002", "kind": "picture", "mark": {}}
    snapshots.save(upkeep.path_of(space), Snapshot(space.index, about))
    space = restarted(monkeypatch)
    with vectors_read() as read:
        assert nearly(answers(space, board), truth(board))
    assert len(read) == COUNT


def test_a_database_that_was_restored_and_gave_ids_out_again_is_noticed(monkeypatch, board):
    """The same ids and the same stamps, yet other pictures: only the vectors themselves can tell."""
    settled(monkeypatch)
    others = drawn(COUNT, SIZE, seed=7)
    for id_, vector in list(zip(Vector.objects.order_by("-id").values_list("id", flat=True), others, strict=True))[:30]:
        Vector.objects.filter(pk=id_).update(data=store.encode(vector))
    space = restarted(monkeypatch)
    with vectors_read() as read:
        assert nearly(answers(space, board), truth(board))
    assert len(read) == COUNT


def test_a_full_disk_costs_the_new_snapshot_and_not_the_old(monkeypatch, board, large_soon, caplog):
    space = settled(monkeypatch)
    before = upkeep.path_of(space).read_bytes()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) // 2, hard))
    try:
        assert upkeep.save(space, space.index) is None
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert "not kept on disk" in caplog.text
    assert upkeep.path_of(space).read_bytes() == before
    assert sorted(path.suffix for path in large_soon.iterdir()) == [".index", ".lock"]


def test_who_is_killed_while_writing_leaves_the_old_snapshot_and_no_rubbish(monkeypatch, board, large_soon):
    space = settled(monkeypatch)
    path = upkeep.path_of(space)
    before = path.read_bytes()
    if not (child := os.fork()):
        os.fsync = lambda descriptor: os.kill(os.getpid(), signal.SIGKILL)
        snapshots.save(path, Snapshot(space.index, {}))
    assert os.WTERMSIG(os.waitpid(child, 0)[1]) == signal.SIGKILL
    assert path.read_bytes() == before
    assert len(list(large_soon.iterdir())) == 3
    with snapshots.writer(path) as ours:
        assert ours
    assert sorted(path.suffix for path in large_soon.iterdir()) == [".index", ".lock"]


def test_a_folder_that_cannot_be_written_changes_no_answer(monkeypatch, board, settings, tmp_path):
    (tmp_path / "file").write_text("no folder")
    settings.BOORU_ML = {**settings.BOORU_ML, "CACHE_DIR": str(tmp_path / "file")}
    space = settled(monkeypatch)
    assert space.index.size == COUNT
    assert nearly(answers(space, board), truth(board))


def test_analyses_change_what_a_snapshot_said(monkeypatch, board):
    settled(monkeypatch)
    draw = Artist(seed=4)
    one = seen(draw.character())
    look = draw.character()
    services.remember([analysis(one, finding(look))])
    restarted(monkeypatch)
    assert services.near(vector=look, limit=1)[0].post_id == one.pk
