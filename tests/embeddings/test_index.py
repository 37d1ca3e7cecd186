"""One contract for every index: numpy's, FAISS's, the graph, and the GPU's."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from embeddings.benchmarks.vectors import drawn
from embeddings.index import choose, gpu, tuning
from embeddings.index.base import Index
from embeddings.index.exact import NumpyIndex
from embeddings.index.gpu import GpuIndex
from embeddings.index.graph import GraphIndex

SIZE = 8


def vectors(seed: int, count: int, size: int = SIZE) -> np.ndarray:
    """As the database keeps them: float16, of length 1 as near as that goes."""
    values = np.random.default_rng(seed).normal(size=(count, size)).astype(np.float32)
    return (values / np.linalg.norm(values, axis=1, keepdims=True)).astype(np.float16).astype(np.float32)


class Folded(GraphIndex):
    """A graph that takes everything in at once."""

    def add(self, ids: np.ndarray, vectors: np.ndarray) -> None:
        super().add(ids, vectors)
        self.fold(len(ids))


def on_cpu(size: int) -> GpuIndex:
    """The GPU's bookkeeping over a flat index of the CPU."""
    import faiss

    return GpuIndex(size, store=faiss.IndexFlatIP)


def on_gpu(size: int) -> GpuIndex:
    if not gpu.gpus():
        pytest.skip("needs a GPU and FAISS for it (docs/install.md, “Indexes on a GPU”)")
    return GpuIndex(size)


KINDS = {"numpy": NumpyIndex, "graph": GraphIndex, "folded": Folded, "as gpu": on_cpu, "gpu": on_gpu}


@pytest.fixture(params=KINDS)
def make(request) -> Callable[[int], Index]:
    return KINDS[request.param]


def test_finds_the_nearest_best_first(make):
    index = make(SIZE)
    stored = vectors(0, 200)
    index.add(np.arange(1000, 1200), stored)
    values, ids = index.search(stored[[3, 77]], 5)
    assert ids[:, 0].tolist() == [1003, 1077]
    np.testing.assert_allclose(values[:, 0], 1, atol=1e-3)
    assert (np.diff(values, axis=1) <= 0).all()
    exact = np.argsort(-(stored[3] @ stored.T))[:5] + 1000
    assert ids[0].tolist() == exact.tolist()


def test_an_empty_index_and_a_short_one_say_so(make):
    index = make(SIZE)
    values, ids = index.search(vectors(0, 2), 3)
    assert ids.tolist() == [[-1] * 3] * 2
    index.add(np.array([5]), vectors(1, 1))
    values, ids = index.search(vectors(0, 1), 3)
    assert ids[0].tolist() == [5, -1, -1]
    assert values[0, 1] == -np.inf


def test_no_question_has_no_answer(make):
    index = make(SIZE)
    for stored in (vectors(0, 5), vectors(1, 500)):
        index.add(np.arange(len(stored)), stored)
        values, ids = index.search(np.zeros((0, SIZE), np.float32), 3)
        assert values.shape == ids.shape == (0, 3)


@pytest.mark.parametrize("together", [1, 4])
def test_what_was_removed_is_in_no_answer_however_many_ask_at_once(make, together):
    index, stored = make(SIZE), vectors(0, 400)
    index.add(np.arange(400), stored)
    assert index.remove(np.arange(0, 400, 4)) == 100
    kept = np.flatnonzero(np.arange(400) % 4)
    for queries in np.split(vectors(1, 40), 40 // together):
        exact = kept[np.argsort(-(queries @ stored[kept].T), axis=1, kind="stable")[:, :5]]
        assert index.search(queries, 5)[1].tolist() == exact.tolist()


def test_adding_an_id_again_replaces_its_vector(make):
    index = make(SIZE)
    one, two = vectors(0, 2)
    index.add(np.array([7]), one[None])
    index.add(np.array([7]), two[None])
    assert len(index) == 1
    assert index.search(two[None], 1)[0][0, 0] == pytest.approx(1, abs=1e-3)


@settings(deadline=None, max_examples=40)
@given(
    st.lists(st.tuples(st.booleans(), st.lists(st.integers(0, 30), max_size=8)), max_size=12),
    st.sampled_from(["numpy", "graph", "folded", "as gpu"]),
)
def test_any_order_of_adding_and_removing_keeps_the_books(steps, kind):
    tried: Index = KINDS[kind](SIZE)
    truth: dict[int, np.ndarray] = {}
    for number, (adding, ids) in enumerate(steps):
        if adding:
            fresh = vectors(number, len(ids))
            tried.add(np.array(ids, dtype=np.int64), fresh)
            truth.update(zip(ids, fresh, strict=True))
        else:
            assert tried.remove(np.array(ids, dtype=np.int64)) == len(set(ids) & truth.keys())
            for id_ in ids:
                truth.pop(id_, None)
    assert sorted(tried.ids().tolist()) == sorted(truth)
    assert len(tried) == len(truth)
    for id_, vector in truth.items():
        values, ids = tried.search(vector[None], max(len(truth), 1))
        place = ids[0].tolist().index(id_)
        assert values[0, place] == pytest.approx(vector @ vector, abs=1e-5)


@pytest.mark.parametrize("kind", ["folded", "as gpu", "gpu"])
def test_what_was_removed_never_hides_the_living(kind):
    """A crowd of copies is removed: the nearest that is left lies behind all of them."""
    index = KINDS[kind](32)
    look, near, *others = vectors(0, 3000, 32)
    crowd = np.arange(10_000, 10_200)
    index.add(np.arange(len(others)), np.array(others))
    index.add(crowd, np.repeat(look[None], len(crowd), axis=0))
    close = look + 0.05 * near
    index.add(np.array([99_999]), (close / np.linalg.norm(close))[None].astype(np.float16).astype(np.float32))
    assert index.remove(crowd) == len(crowd)
    exact = np.argsort(-(look @ np.array(others).T))[:9].tolist()
    assert index.search(look[None], 10)[1][0].tolist() == [99_999, *exact]


def test_a_graph_of_which_everything_was_removed_leaves_room_for_what_is_new():
    index = Folded(32)
    index.add(np.arange(1000), vectors(0, 1000, 32))
    index.remove(np.arange(1000))
    fresh = vectors(1, 20, 32)
    GraphIndex.add(index, np.arange(2000, 2020), fresh)
    exact = np.argsort(-(fresh @ fresh.T), axis=1)[:, :5] + 2000
    assert index.search(fresh, 5)[1].tolist() == exact.tolist()


def test_a_gpu_clears_away_what_was_removed(monkeypatch):
    monkeypatch.setattr(gpu, "SLACK", 10)
    index = on_cpu(SIZE)
    stored = vectors(0, 100)
    index.add(np.arange(100), stored)
    index.remove(np.arange(50))
    assert index._store.ntotal == 50
    assert index.search(stored[70:71], 1)[1].tolist() == [[70]]


def test_a_graph_keeps_its_recall_as_it_grows_and_loses():
    every = drawn(4200, 64)
    queries = every[4000:]
    index = GraphIndex(64)
    index.add(np.arange(3000), every[:3000])
    fold(index, leave=200)
    index.effort = tuning.tune(index, index.beside()).effort
    index.remove(np.arange(0, 3000, 4))
    index.add(np.arange(3000, 4000), every[3000:4000])
    fold(index, leave=100)
    assert index.waiting == 100
    assert index.removed > 600
    living = index.ids()
    exact = np.sort(queries @ every[living].T, axis=1)[:, :-11:-1]
    values, ids = index.search(queries, 10)
    assert tuning.recall(values, exact) >= tuning.LEAST
    assert set(ids.ravel().tolist()) <= set(living.tolist())
    np.testing.assert_allclose(values, np.take_along_axis(queries @ every.T, ids, axis=1), atol=1e-5)


def test_tuning_holds_for_queries_that_the_graph_has_not_seen():
    index = GraphIndex(32)
    index.add(np.arange(5000), vectors(0, 5000, 32))  # without crowds: the hardest there is
    fold(index, leave=tuning.PROBES)
    tuned = tuning.tune(index, index.beside())
    queries = vectors(1, 500, 32)
    exact = index.exact(queries, 10)[0]
    assert tuning.recall(index.approximate(queries, 10, 16)[0], exact) < 0.9
    assert tuned.recall >= tuning.AIM
    assert tuning.recall(index.approximate(queries, 10, tuned.effort)[0], exact) >= tuning.LEAST


def fold(index: GraphIndex, *, leave: int) -> None:
    while index.waiting > leave:
        index.fold(index.waiting - leave)


def test_each_size_has_its_kind_and_answers_stay_the_same(monkeypatch):
    monkeypatch.setattr(choose, "FAISS_FROM", 100)
    monkeypatch.setattr(choose, "gpu_wanted", lambda: False)
    small = choose.build(SIZE, np.arange(99), vectors(0, 99))
    assert isinstance(small, NumpyIndex)
    small.add(np.array([99]), vectors(1, 1))
    before = small.search(vectors(2, 3), 10)
    large = choose.grown(small)
    assert isinstance(large, GraphIndex)
    after = large.search(vectors(2, 3), 10)
    np.testing.assert_array_equal(before[1], after[1])
    np.testing.assert_allclose(before[0], after[0], atol=1e-5)
    large.remove(np.arange(50))
    assert choose.grown(large) is large  # none becomes a smaller kind again


def test_a_gpu_is_taken_where_there_is_one_and_the_settings_allow_it(monkeypatch, settings):
    monkeypatch.setattr(gpu, "gpus", lambda: 1)
    assert gpu.gpu_wanted()
    settings.BOORU_ML = {**settings.BOORU_ML, "DEVICE": "cpu"}
    assert not gpu.gpu_wanted()


def test_a_web_process_starts_without_faiss():
    code = (
        "import os, sys; os.environ['DJANGO_SETTINGS_MODULE'] = 'tests.settings'; import django; django.setup();"
        "import embeddings.services, embeddings.admin, embeddings.urls; assert 'faiss' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
