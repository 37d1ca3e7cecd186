"""A large index looks after itself while questions are answered."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
import threading
import time

import pytest

from embeddings import services, similar, upkeep
from embeddings.index import choose
from embeddings.index.graph import GraphIndex
from embeddings.models import Vector
from tests.embeddings import large
from tests.embeddings.factories import VERSION, Artist, seen
from tests.embeddings.large import COUNT, answers, nearly, restarted, settled, truth

pytestmark = pytest.mark.django_db(transaction=True)
board, large_soon = large.board, large.large_soon


def test_a_small_board_pays_nothing_for_it(monkeypatch, large_soon):
    monkeypatch.setattr(choose, "FAISS_FROM", 1000)
    seen(Artist().character())
    services.near(vector=Artist().character())
    assert similar.spaces[VERSION, "picture"].keeper is None
    assert not large_soon.exists()


def test_questions_are_answered_while_the_graph_is_built(monkeypatch, board):
    """Every answer is right, and the graph is taken in small steps between them."""
    gate = threading.Event()
    real = GraphIndex.fold

    def slow(self, count, **how):
        real(self, count, **how)
        gate.set()
        time.sleep(0.002)

    monkeypatch.setattr(GraphIndex, "fold", slow)
    space = restarted(monkeypatch)
    space.search(board[:1], 1)
    assert gate.wait(10)
    during = [answers(space, board) for _ in range(5) if space.keeper.is_alive()]
    assert during
    assert all(nearly(answer, truth(board)) for answer in during)
    space.keeper.join(20)
    assert (space.index.waiting, space.index.size) == (0, COUNT)
    assert space.index.tuned_at > 0
    assert nearly(answers(space, board), truth(board))


def test_one_process_builds_and_the_others_take_what_it_built(monkeypatch, board, large_soon):
    monkeypatch.setattr(upkeep, "MANY", 100)
    waiting = restarted(monkeypatch)
    path = upkeep.path_of(waiting)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.with_suffix(".lock").open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)  # another process is at it
        assert nearly(answers(waiting, board), truth(board))
        time.sleep(0.3)
        assert waiting.index.size == 0
        builder = similar.Space(VERSION, "picture")
        builder.search(board[:1], 1)
        upkeep.work(builder, builder.index)
        upkeep.write(builder, builder.index)
    waiting.keeper.join(20)
    assert waiting.offered
    assert nearly(answers(waiting, board), truth(board))
    assert waiting.index.size == COUNT
    assert waiting.index is not builder.index


def test_what_was_deleted_is_cleared_out_of_the_graph(monkeypatch, board):
    space = settled(monkeypatch)
    ids = list(Vector.objects.order_by("id").values_list("id", flat=True))
    Vector.objects.filter(pk__in=ids[: COUNT // 2]).delete()
    assert nearly(answers(space, board), truth(board))
    space.keeper.join(20)
    assert (space.index.size, space.index.removed) == (COUNT // 2, 0)
    assert nearly(answers(space, board), truth(board))


def test_changes_while_the_graph_is_built_are_not_lost(monkeypatch, board):
    space = restarted(monkeypatch)
    space.search(board[:1], 1)
    draw = Artist(seed=3)
    ids = list(Vector.objects.order_by("id").values_list("id", flat=True))
    looks = {}
    for number in range(20):
        Vector.objects.filter(pk=ids[number]).delete()
        look = draw.character()
        looks[seen(look).pk] = look
        assert services.near(vector=look, limit=1)[0].post_id in looks
    space.keeper.join(20)
    assert nearly(answers(space, board), truth(board))
    for key, look in looks.items():
        assert services.near(vector=look, limit=1)[0].post_id == key


def test_a_process_that_ends_does_not_wait_for_its_index(tmp_path):
    code = (
        "import os, time; os.environ['DJANGO_SETTINGS_MODULE'] = 'tests.settings'; import django; django.setup();"
        "import numpy as np; from embeddings import similar, upkeep; from embeddings.index.graph import GraphIndex;"
        "space = similar.Space('m@1', 'picture'); space.index = index = GraphIndex(64);"
        "index.add(np.arange(4000), np.random.rand(4000, 64).astype('float32'));"
        "real = index.fold; index.fold = lambda *a, **b: (time.sleep(0.1), real(*a, **b));"
        "upkeep.wake(space)"
    )
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "XDG_CACHE_HOME": str(tmp_path)}
    started = time.monotonic()
    subprocess.run([sys.executable, "-c", code], check=True, env=environment, timeout=60)
    assert time.monotonic() - started < 50  # taking everything in would last 100 s
    assert not list(tmp_path.iterdir())  # what tests start leaves the user's cache alone, too
