"""Neighbours, always of the database as it is now."""

from __future__ import annotations

import threading
import time
from functools import partial

import numpy as np
import pytest
from django.db import transaction

from booru_ml.errors import InvalidInput, NotFound
from embeddings import services, similar
from embeddings.index import choose
from embeddings.index.exact import NumpyIndex
from embeddings.index.graph import GraphIndex
from embeddings.models import Vector
from tests.embeddings.factories import VERSION, Artist, analysis, finding, post, seen
from tests.threads import together


@pytest.mark.django_db
class TestNear:
    def test_finds_the_most_alike_first_and_not_the_post_itself(self):
        draw = Artist()
        look = draw.character()
        shown = [seen(draw.picture(look)) for _ in range(3)]
        for _ in range(20):
            seen(draw.picture())
        found = services.near(post_id=shown[0].pk, limit=5)
        assert {item.post_id for item in found[:2]} == {shown[1].pk, shown[2].pk}
        assert len(found) == 5
        assert [item.similarity for item in found] == sorted((item.similarity for item in found), reverse=True)

    def test_of_several_questions_each_gets_what_is_alike_enough_and_no_more(self):
        draw = Artist()
        looks = [draw.character(), draw.character()]
        alike = [{seen(draw.picture(look)).pk for _ in range(40)} for look in looks]
        strangers = {seen(draw.picture()).pk for _ in range(20)}
        found = services.near_each(looks, model_version=VERSION, limit=60, least=0.4)
        assert [{item.post_id for item in near} - strangers for near in found] == alike
        assert all(item.similarity >= 0.4 for near in found for item in near)
        assert len(found[0]) < 60 <= len(services.near_each(looks, model_version=VERSION, limit=60)[0])

    def test_a_vector_of_no_post_may_ask_too(self):
        draw = Artist()
        look = draw.character()
        shown = seen(look)
        (best,) = services.near(vector=3 * look, limit=1)
        assert best.post_id == shown.pk
        assert best.similarity == pytest.approx(1, abs=1e-3)

    def test_a_post_stands_once_however_many_faces_fit(self):
        draw = Artist()
        face = draw.character()
        crowd = seen(draw.character(), faces=[draw.picture(face) for _ in range(30)])
        pair = seen(draw.character(), faces=[draw.picture(), draw.picture(face)])
        lone = seen(draw.character(), faces=[face])
        found = services.near(post_id=lone.pk, kind="face", limit=2)
        assert {item.post_id for item in found} == {crowd.pk, pair.pk}
        assert {item.post_id: item.number for item in found}[pair.pk] == 1

    @pytest.mark.parametrize("data", [b"\1" * 10, b"\1" * 9, b""])
    def test_a_damaged_row_that_comes_alone_costs_no_answer(self, data):
        draw = Artist()
        look = draw.character()
        shown = seen(look)
        services.near(vector=look)
        Vector.objects.create(post=post(), kind="picture", model_version=VERSION, data=data)
        assert [item.post_id for item in services.near(vector=look)] == [shown.pk]
        again = seen(draw.picture(look))
        assert [item.post_id for item in services.near(vector=look)] == [shown.pk, again.pk]

    def test_other_models_and_kinds_are_other_spaces(self):
        draw = Artist()
        look = draw.character()
        seen(look, version="other@000000000002")
        seen(draw.character(), style=look)
        assert [item for item in services.near(vector=look) if item.similarity > 0.9] == []

    def test_a_post_without_vectors_says_that_it_waits(self):
        with pytest.raises(NotFound) as error:
            services.near(post_id=post().pk)
        assert error.value.code == "not_analysed"

    @pytest.mark.parametrize("question", [{"kind": "smell"}, {"limit": 0}, {"limit": 10_000}])
    def test_odd_questions_are_refused(self, question):
        with pytest.raises(InvalidInput):
            services.near(vector=Artist().character(), **question)

    def test_what_comes_and_goes_is_noticed_at_once(self):
        draw = Artist()
        look = draw.character()
        assert services.near(vector=look) == ()
        first, second = seen(look), seen(look)
        assert {item.post_id for item in services.near(vector=look)} == {first.pk, second.pk}
        first.delete()
        assert [item.post_id for item in services.near(vector=look)] == [second.pk]
        services.remember([analysis(second, finding(draw.character()))])
        assert services.near(vector=look)[0].similarity < 0.9

    def test_many_deleted_rows_do_not_hide_the_living(self, monkeypatch):
        monkeypatch.setattr(similar, "RECONCILE_SECONDS", 1e9)
        draw = Artist()
        look = draw.character()
        doomed = [seen(look) for _ in range(60)]
        alive = seen(draw.picture(look))
        services.near(vector=look)
        for item in doomed:
            item.delete()
        assert [item.post_id for item in services.near(vector=look, limit=5)] == [alive.pk]

    def test_the_index_is_cleared_of_what_is_gone(self, monkeypatch):
        shown = seen(Artist().character())
        services.near(vector=Artist().character())
        shown.delete()
        monkeypatch.setattr(similar, "RECONCILE_SECONDS", 0.0)
        services.near(vector=Artist().character())
        assert len(similar.spaces[VERSION, "picture"].index) == 0

    def test_answers_stay_the_same_as_the_index_grows_into_faiss(self, monkeypatch):
        draw = Artist()
        shown = [seen(draw.character()) for _ in range(30)]
        before = services.near(post_id=shown[0].pk)
        monkeypatch.setattr(choose, "FAISS_FROM", 20)
        monkeypatch.setattr(similar, "spaces", similar.Spaces())
        after = services.near(post_id=shown[0].pk)
        assert [item.post_id for item in after] == [item.post_id for item in before]
        np.testing.assert_allclose([i.similarity for i in after], [i.similarity for i in before], atol=1e-5)
        assert isinstance(similar.spaces[VERSION, "picture"].index, GraphIndex)


@pytest.mark.django_db(transaction=True)
class TestCommittedOnly:
    def test_rows_that_were_rolled_back_leave_no_trace(self):
        draw = Artist()
        look, other = draw.character(), draw.character()
        seen(other)
        assert len(services.near(vector=look)) == 1
        ghost = post()
        with transaction.atomic():
            services.remember([analysis(ghost, finding(look))])
            assert services.near(vector=look)[0].post_id == ghost.pk
            transaction.set_rollback(True)
        assert services.near(vector=look)[0].similarity < 0.9
        # SQLite gives the same id out again: the index must not take the new row for the old one.
        fresh = seen(look)
        assert services.near(vector=look)[0].post_id == fresh.pk
        assert services.near(vector=other)[0].similarity > 0.99

    def test_a_savepoint_that_was_rolled_back_leaves_no_trace_either(self):
        draw = Artist()
        look, other = draw.character(), draw.character()
        good, bad = post(), post()
        with transaction.atomic():
            with transaction.atomic():
                services.remember([analysis(bad, finding(other))])
                services.near(vector=look)
                transaction.set_rollback(True)
            services.remember([analysis(good, finding(look))])
            services.near(vector=look)
        (found,) = services.near(vector=look)
        assert found.post_id == good.pk
        assert found.similarity > 0.99

    def test_every_row_is_found_however_they_are_interleaved_with_questions(self):
        draw = Artist()
        shown = {}
        for number in range(12):
            look = draw.character()
            shown[seen(look).pk] = look
            if number % 3 == 2:
                for key, vector in shown.items():
                    assert services.near(vector=vector, limit=1)[0].post_id == key
        assert Vector.objects.count() == 12


def test_one_thread_at_a_time_comes_to_an_index(monkeypatch):
    """None of them locks, and what FAISS does on a GPU that is asked two things at once is undefined."""
    busy = threading.Lock()

    class Guarded(NumpyIndex):
        def search(self, queries, limit):
            assert busy.acquire(blocking=False), "two questions at once"
            try:
                time.sleep(0.01)
                return super().search(queries, limit)
            finally:
                busy.release()

    space = similar.Space(VERSION, "picture", Guarded(2))
    space.index.add(np.array([7]), np.array([[1.0, 0.0]], np.float32))
    monkeypatch.setattr(space, "_sync", lambda: None)
    ask = partial(space.search, np.array([[1.0, 0.0]], np.float32), 1)
    assert together(ask, ask, ask) == [[[(7, 1.0)]]] * 3
