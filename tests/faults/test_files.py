"""Files of ours are cut off, bit-flipped, or do not fit the disk: nothing wrong is believed, nothing good is lost."""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from django.db import connection
from django.test import Client

from booru_ml.checkpoint import Checkpoint
from booru_ml.conf import CHECKPOINTS
from booru_ml.errors import CheckpointError, Unavailable
from booru_ml.models import AnalysisJob
from embeddings.benchmarks.vectors import drawn
from embeddings.index import snapshots
from embeddings.index.graph import GraphIndex
from embeddings.index.snapshots import Snapshot
from tests import disks
from tests.faults.pictures import drawing
from tests.flows.conftest import wait_for

SHIPPED = ("booru-lite", "nsfwjs")
FILES = [(name, file.name) for name in SHIPPED for file in sorted((CHECKPOINTS / name).iterdir()) if file.is_file()]


def cut_off(file: Path) -> None:
    os.truncate(file, file.stat().st_size // 2)


def flip_a_bit(file: Path) -> None:
    with file.open("r+b") as opened:
        opened.seek(file.stat().st_size // 2)
        byte = opened.read(1)[0]
        opened.seek(-1, os.SEEK_CUR)
        opened.write(bytes([byte ^ 1]))


@pytest.fixture
def small_disk() -> Iterator[Path]:
    """32 MiB of disk, to be filled; PostgreSQL's user may go there too."""
    with disks.small_disk("32m") as place:
        yield place


def fill(disk: Path) -> Path:
    """A file that leaves no byte free."""
    filler = disk / "filler"
    with filler.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(4096))
    return filler


@pytest.mark.parametrize("damage", [cut_off, flip_a_bit])
@pytest.mark.parametrize(("name", "file"), FILES)
def test_damaged_checkpoint_is_never_loaded(tmp_path, name, file, damage):
    folder = tmp_path / name
    shutil.copytree(CHECKPOINTS / name, folder)
    Checkpoint.load(folder)
    damage(folder / file)
    with pytest.raises(CheckpointError, match=name):
        Checkpoint.load(folder)


@pytest.mark.django_db(transaction=True)
@pytest.mark.redis
@pytest.mark.parametrize("damage", [pytest.param(cut_off, marks=pytest.mark.long), flip_a_bit])
def test_worker_waits_for_a_damaged_checkpoint_to_be_mended(crew, trial, tmp_path, damage):
    """The damage is found when a worker starts; jobs wait, no attempt is burnt, health is red."""
    folders = [tmp_path / name for name in SHIPPED]
    for folder in folders:
        shutil.copytree(CHECKPOINTS / folder.name, folder)
    weights = folders[0] / "model.onnx"
    sound = weights.read_bytes()
    damage(weights)
    said = "cut off" if damage is cut_off else "one bit flipped"
    crew.use(engine="untouched", CHECKPOINTS=[str(folder) for folder in folders])
    crew.command()
    with trial(
        "damaged checkpoint", f"{said}; mended 3 s later", within=60, make=drawing, in_flight=8, warm=False
    ) as run:
        wait_for(lambda: Client().get("/booru/readyz?worker=1").status_code == 503, 60)
        time.sleep(3)
        assert set(AnalysisJob.objects.values_list("state", "attempts")) == {("queued", 0)}
        weights.write_bytes(sound)
        run.outage_over()
    assert run.account.done == run.account.uploaded


@pytest.mark.torch
def test_full_disk_leaves_the_checkpoint_that_was_there(small_disk):
    from booru_ml.nn import writing

    folder = small_disk / "nsfwjs"
    shutil.copytree(CHECKPOINTS / "nsfwjs", folder)
    before = Checkpoint.load(folder)
    fill(small_disk)
    with pytest.raises(Unavailable, match=f"{folder} cannot be written: .*No space left"):
        writing.renew_graph(before)
    assert Checkpoint.load(folder).version == before.version
    assert sorted(path.name for path in small_disk.iterdir()) == ["filler", "nsfwjs"]


def test_full_disk_leaves_the_sums_that_were_there(small_disk):
    from booru_ml.checkpoint import pin

    folder = small_disk / "nsfwjs"
    shutil.copytree(CHECKPOINTS / "nsfwjs", folder)
    fill(small_disk)
    with pytest.raises(CheckpointError, match="No space left"):
        pin(folder)
    Checkpoint.load(folder)


@pytest.mark.parametrize("room", [0.0, 0.5, 0.99], ids=["none", "half", "almost"])
def test_full_disk_leaves_the_index_that_was_there(small_disk, room):
    index = GraphIndex(64)
    index.add(np.arange(2000), drawn(2000, 64))
    while index.waiting:
        index.fold(500)
    kept = small_disk / "kept.index"
    size = snapshots.save(kept, Snapshot(index, {"mark": 1}))
    filler = fill(small_disk)
    os.truncate(filler, filler.stat().st_size - int(room * size) // 4096 * 4096)
    with pytest.raises(OSError, match="No space left"):
        snapshots.save(kept, Snapshot(index, {"mark": 2}))
    found = snapshots.load(kept, lambda about: about == {"mark": 1})
    assert found is not None
    assert found.index.size == 2000
    assert sorted(path.name for path in small_disk.iterdir()) == ["filler", "kept.index"]


@pytest.mark.django_db(transaction=True)
@pytest.mark.redis
@pytest.mark.postgres
@pytest.mark.long
def test_full_disk_under_the_vectors(crew, trial, uploads, postgres, small_disk):
    """PostgreSQL can store no result, yet takes uploads: workers repeat the write until there is room again."""
    place = small_disk / "space"
    place.mkdir(mode=0o700)
    owner = pwd.getpwuid(postgres.folder.stat().st_uid)
    shutil.chown(place, owner.pw_name)
    shutil.chown(small_disk, owner.pw_name)
    with connection.cursor() as cursor:
        cursor.execute(f"CREATE TABLESPACE small LOCATION '{place}'")
        cursor.execute("ALTER TABLE booru_embeddings_vector SET TABLESPACE small")
    try:
        crew.celery()
        with trial("disk is full", "no room for one more vector, for 4 s", within=30) as run:
            filler = fill(small_disk)
            uploads.many(150)
            time.sleep(4)
            assert AnalysisJob.objects.unfinished().exists()
            filler.unlink()
            run.outage_over()
        assert run.account.done == run.account.uploaded
    finally:
        crew.close()
        with connection.cursor() as cursor:
            cursor.execute("ALTER TABLE booru_embeddings_vector SET TABLESPACE pg_default")
            cursor.execute("DROP TABLESPACE small")
