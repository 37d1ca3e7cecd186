"""One contract for every index, numpy's and FAISS's alike."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from embeddings.index import choose
from embeddings.index.base import Index
from embeddings.index.exact import NumpyIndex
from embeddings.index.flat import FaissIndex

SIZE = 8


def vectors(seed: int, count: int) -> np.ndarray:
    values = np.random.default_rng(seed).normal(size=(count, SIZE)).astype(np.float32)
    return values / np.linalg.norm(values, axis=1, keepdims=True)


@pytest.fixture(params=[NumpyIndex, FaissIndex])
def empty(request) -> Index:
    return request.param(SIZE)


def test_finds_the_nearest_best_first(empty: Index):
    stored = vectors(0, 200)
    empty.add(np.arange(1000, 1200), stored)
    values, ids = empty.search(stored[[3, 77]], 5)
    assert ids[:, 0].tolist() == [1003, 1077]
    np.testing.assert_allclose(values[:, 0], 1, atol=1e-5)
    assert (np.diff(values, axis=1) <= 0).all()
    exact = np.argsort(-(stored[3] @ stored.T))[:5] + 1000
    assert ids[0].tolist() == exact.tolist()


def test_an_empty_index_and_a_short_one_say_so(empty: Index):
    values, ids = empty.search(vectors(0, 2), 3)
    assert ids.tolist() == [[-1] * 3] * 2
    empty.add(np.array([5]), vectors(1, 1))
    values, ids = empty.search(vectors(0, 1), 3)
    assert ids[0].tolist() == [5, -1, -1]
    assert values[0, 1] == -np.inf


def test_adding_an_id_again_replaces_its_vector(empty: Index):
    one, two = vectors(0, 2)
    empty.add(np.array([7]), one[None])
    empty.add(np.array([7]), two[None])
    assert len(empty) == 1
    assert empty.search(two[None], 1)[0][0, 0] == pytest.approx(1, abs=1e-5)


@settings(deadline=None, max_examples=40)
@given(st.lists(st.tuples(st.booleans(), st.lists(st.integers(0, 30), max_size=8)), max_size=12), st.booleans())
def test_any_order_of_adding_and_removing_keeps_the_books(steps, by_faiss):
    tried: Index = FaissIndex(SIZE) if by_faiss else NumpyIndex(SIZE)
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
    for id_, vector in truth.items():
        values, ids = tried.search(vector[None], max(len(truth), 1))
        place = ids[0].tolist().index(id_)
        assert values[0, place] == pytest.approx(1, abs=1e-5)


def test_grows_into_faiss_with_the_same_answers(monkeypatch):
    monkeypatch.setattr(choose, "FAISS_FROM", 100)
    small = choose.build(SIZE, np.arange(99), vectors(0, 99))
    assert isinstance(small, NumpyIndex)
    small.add(np.array([99]), vectors(1, 1))
    before = small.search(vectors(2, 3), 10)
    large = choose.grown(small)
    assert isinstance(large, FaissIndex)
    after = large.search(vectors(2, 3), 10)
    np.testing.assert_array_equal(before[1], after[1])
    np.testing.assert_allclose(before[0], after[0], atol=1e-5)


def test_a_web_process_starts_without_faiss():
    code = (
        "import os, sys; os.environ['DJANGO_SETTINGS_MODULE'] = 'tests.settings'; import django; django.setup();"
        "import embeddings.services, embeddings.admin, embeddings.urls; assert 'faiss' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
