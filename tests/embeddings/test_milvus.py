"""A collection of a real server keeps the contract that every index keeps."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count

import numpy as np
import pytest

from booru_ml.errors import Unavailable
from embeddings.index.base import Index
from embeddings.index.milvus import MilvusIndex, Missing, Store
from tests.embeddings.test_index import (  # noqa: F401 - the contract, with this module's ``make``
    SIZE,
    test_adding_an_id_again_replaces_its_vector,
    test_an_empty_index_and_a_short_one_say_so,
    test_finds_the_nearest_best_first,
    vectors,
)

_numbers = count()


@pytest.fixture
def store(milvus) -> Store:
    return Store(milvus.address)


@pytest.fixture
def make(store) -> Callable[[int], Index]:
    def index(size: int) -> MilvusIndex:
        made = MilvusIndex(store, f"contract_{next(_numbers)}", size)
        made.create()
        return made

    return index


def test_any_order_of_adding_and_removing_keeps_the_books(make):
    """As the contract's own, by few steps: each is a network call."""
    random, tried, truth = np.random.default_rng(3), make(SIZE), {}
    for number in range(12):
        ids = random.integers(0, 30, random.integers(0, 9))
        if random.random() < 0.6:
            fresh = vectors(number, len(ids))
            tried.add(ids, fresh, np.full(len(ids), number))
            truth |= {id_: (number, vector) for id_, vector in zip(ids.tolist(), fresh, strict=True)}
        else:
            assert tried.remove(ids) == len(set(ids.tolist()) & truth.keys())
            for id_ in ids.tolist():
                truth.pop(id_, None)
    assert dict(tried.pairs()) == {id_: number for id_, (number, _) in truth.items()}
    assert sorted(tried.ids().tolist()) == sorted(truth)
    assert len(tried) == len(truth) > 5
    queries = np.array([vector for _, vector in truth.values()])
    values, ids = tried.search(queries, len(truth))
    for place, (id_, (_, vector)) in enumerate(truth.items()):
        assert values[place, ids[place].tolist().index(id_)] == pytest.approx(vector @ vector, abs=1e-5)


def test_a_collection_that_is_gone_is_told_from_a_server_that_is_gone(make, store):
    index = make(SIZE)
    index.drop()
    with pytest.raises(Missing):
        index.search(vectors(0, 1), 3)
    assert index.exists() is False  # the server was not blamed
    with pytest.raises(Unavailable) as error:
        len(MilvusIndex(Store("milvus+http://127.0.0.1:1"), "any", SIZE))
    assert error.value.code == "vector_store"


def test_no_password_is_told():
    assert "secret" not in Store("milvus+https://me:secret@milvus.example:19530/board").name
