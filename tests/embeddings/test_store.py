from __future__ import annotations

import numpy as np
import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from booru_ml.errors import InvalidInput
from embeddings import store
from embeddings.models import Vector
from tests.embeddings.factories import VERSION, Artist, analysis, finding, post

pytestmark = pytest.mark.django_db


@given(arrays(np.float32, 32, elements=st.floats(-100, 100, width=32)).filter(lambda v: np.linalg.norm(v) > 1e-3))
def test_a_vector_comes_back_with_its_direction(vector):
    back = store.decode([store.encode(vector)])[0]
    assert back.dtype == np.float32
    assert float(back @ vector / np.linalg.norm(vector)) == pytest.approx(1, abs=2e-3)


@pytest.mark.parametrize("vector", [np.zeros(4), np.full(4, np.nan), np.array([np.inf, 1, 1, 1]), np.ones((2, 2))])
def test_what_has_no_direction_is_refused(vector):
    with pytest.raises(InvalidInput):
        store.encode(vector.astype(np.float32))


def test_a_row_of_odd_length_is_left_out_and_logged(caplog):
    keys, vectors = store.readable([(1, b"\0" * 8), (2, b"\0" * 6), (3, b"\0" * 8)])
    assert keys == [1, 3]
    assert vectors.shape == (2, 4)
    assert "[2]" in caplog.text


def test_a_row_that_is_not_as_long_as_its_space_is_left_out_though_it_comes_alone():
    for data in (b"\0" * 6, b"\0" * 7, b""):
        assert store.readable([(1, data)], dimension=4)[0] == []
    assert store.readable([(1, b"\0" * 7)])[0] == []
    assert store.readable([(1, b"")])[0] == []


def rows(of):
    return {(v.kind, v.number): bytes(v.data) for v in Vector.objects.filter(post=of)}


def test_picture_style_and_faces_of_a_batch_are_kept():
    draw, first, second = Artist(), post(), post()
    faces = [draw.character(), draw.character()]
    written = store.write(
        [
            analysis(first, finding(draw.character(), style=draw.character(), faces=faces)),
            analysis(second, finding(draw.character())),
        ]
    )
    assert written.added == {first.pk, second.pk}
    assert not written.replaced
    assert set(rows(first)) == {("picture", 0), ("style", 0), ("face", 0), ("face", 1)}
    assert set(rows(second)) == {("picture", 0)}
    face = Vector.objects.get(post=first, kind="face", number=1)
    assert store.box_of(face.box).x == pytest.approx(0.5)
    assert face.model_version == VERSION


def test_a_batch_takes_the_same_number_of_queries_whatever_its_size(django_assert_num_queries):
    draw = Artist()
    few, many = ([analysis(post(), finding(draw.character())) for _ in range(n)] for n in (2, 20))
    with django_assert_num_queries(2):
        store.write(few)
    with django_assert_num_queries(2):
        store.write(many)


@pytest.mark.skipif(connection.vendor != "sqlite", reason="other databases keep statistics")
def test_sqlite_looks_for_the_vectors_of_posts_by_the_posts():
    draw, posts = Artist(), [post() for _ in range(3)]
    with CaptureQueriesContext(connection) as asked:
        store.write([analysis(one, finding(draw.character())) for one in posts])
    plans = [Vector.objects.of_posts([one.pk for one in posts], model_version=VERSION).explain()]
    with connection.cursor() as cursor:
        for query in asked.captured_queries:
            if query["sql"].startswith("SELECT"):
                cursor.execute(f"EXPLAIN QUERY PLAN {query['sql']}")
                plans.append(str(cursor.fetchall()))
    assert len(plans) > 1
    assert all("(post_id=?" in plan for plan in plans), plans


def test_seeing_the_same_again_writes_nothing():
    draw, seen = Artist(), post()
    vector = draw.character()
    store.write([analysis(seen, finding(vector))])
    before = Vector.objects.get(post=seen)
    nudged = vector + np.float32(1e-4)  # another batch, another order of additions
    written = store.write([analysis(seen, finding(nudged / np.linalg.norm(nudged)))])
    assert not written.added
    assert not written.replaced
    assert Vector.objects.get(post=seen).stamp == before.stamp


def test_a_replaced_picture_gets_new_rows_and_loses_stale_faces():
    draw, seen = Artist(), post()
    store.write([analysis(seen, finding(draw.character(), faces=[draw.character(), draw.character()]))])
    old = set(Vector.objects.filter(post=seen).values_list("pk", flat=True))
    written = store.write([analysis(seen, finding(draw.character(), faces=[draw.character()]))])
    assert written.replaced == {seen.pk}
    assert set(rows(seen)) == {("picture", 0), ("face", 0)}
    assert not old & set(Vector.objects.filter(post=seen).values_list("pk", flat=True))


def test_another_model_keeps_its_rows_beside_the_old_ones():
    draw, seen = Artist(), post()
    store.write([analysis(seen, finding(draw.character()))])
    store.write([analysis(seen, finding(draw.character(), version="other@000000000002"))])
    assert Vector.objects.filter(post=seen).count() == 2


def test_a_refused_picture_leaves_nothing_behind():
    draw, seen, never = Artist(), post(), post()
    store.write([analysis(seen, finding(draw.character(), faces=[draw.character()]))])
    written = store.write([analysis(seen, None), analysis(never, None)])
    assert written.replaced == {seen.pk}
    assert not rows(seen)


def test_a_deleted_post_takes_its_vectors_along():
    seen = post()
    store.write([analysis(seen, finding(Artist().character()))])
    seen.delete()
    assert not Vector.objects.exists()
