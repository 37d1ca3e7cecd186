"""One index for all processes, in a real server: always of the database as it is now, whoever brings it forward."""

from __future__ import annotations

import threading
import time

import numpy as np
import pytest
from django.core.management import CommandError, call_command
from django.db import connection, connections, transaction

from booru_ml.conf import config
from booru_ml.errors import Unavailable
from embeddings import services, shared, similar
from embeddings.index.milvus import MilvusIndex
from embeddings.models import Collection, Vector
from embeddings.store import decode
from tests.embeddings.factories import SIZE, VERSION, Artist, analysis, finding, post, seen
from tests.threads import together

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def store(settings, milvus, monkeypatch):
    settings.BOORU_ML = {**settings.BOORU_ML, "VECTOR_STORE": milvus.address}
    shared.store.cache_clear()
    yield shared.store(milvus.address)
    for thread in threading.enumerate():
        if thread.name == "booru-ml-vector-store":
            thread.join()


def space() -> shared.SharedSpace:
    return similar.spaces[VERSION, "picture"]


def bring_forward() -> Collection:
    """As a keeper does; waits for one that is at it."""
    while space()._keeper and space()._keeper.is_alive():
        space()._keeper.join()
    while space().step() is not None:
        pass
    return Collection.objects.get()


def stored() -> dict[int, int]:
    row = Collection.objects.get()
    return dict(MilvusIndex(shared.store(config().VECTOR_STORE), row.name, SIZE).pairs())


def truth() -> dict[int, int]:
    return dict(Vector.objects.filter(kind="picture").values_list("id", "stamp"))


class TestFollows:
    def test_what_is_committed_is_found_at_once_and_carried_over_in_the_background(self):
        draw = Artist()
        look = draw.character()
        assert services.near(vector=look) == ()
        first = seen(look)
        assert [item.post_id for item in services.near(vector=look)] == [first.pk]
        bring_forward()
        assert stored() == truth()
        second = seen(draw.picture(look))
        found = services.near(vector=look)
        assert [item.post_id for item in found] == [first.pk, second.pk]
        assert found[0].similarity == pytest.approx(1, abs=1e-3)
        bring_forward()
        assert stored() == truth()
        assert [item.post_id for item in services.near(vector=look)] == [first.pk, second.pk]

    def test_deleted_and_replaced_vectors_do_not_answer(self, monkeypatch):
        draw = Artist()
        look, other = draw.character(), draw.character()
        gone, changed, kept = seen(look), seen(look), seen(look)
        bring_forward()
        gone.delete()
        services.remember([analysis(changed, finding(other))])
        near = {item.post_id: item.similarity for item in services.near(vector=look)}
        assert near.keys() == {changed.pk, kept.pk}
        assert near[kept.pk] > 0.99 > 0.9 > near[changed.pk]
        monkeypatch.setattr(shared, "RECONCILE", shared.timedelta(0))
        bring_forward()
        assert stored() == truth()

    def test_a_transaction_sees_its_own_rows_and_leaves_no_trace_when_rolled_back(self):
        draw = Artist()
        look, other = draw.character(), draw.character()
        seen(other)
        bring_forward()
        ghost = post()
        with transaction.atomic():
            services.remember([analysis(ghost, finding(look))])
            assert services.near(vector=look)[0].post_id == ghost.pk
            transaction.set_rollback(True)
        assert services.near(vector=look)[0].similarity < 0.9
        fresh = seen(look)  # SQLite gives the same id out again
        assert services.near(vector=look)[0].post_id == fresh.pk
        bring_forward()
        assert stored() == truth()
        assert services.near(vector=look)[0].post_id == fresh.pk

    @pytest.mark.skipif("postgresql" not in connection.vendor, reason="SQLite has one writer at a time")
    def test_the_lower_id_that_commits_last_is_not_missed(self):
        draw = Artist()
        seen(draw.character())
        bring_forward()
        early, look = post(), draw.character()
        written, finish = threading.Event(), threading.Event()

        def slow():
            with transaction.atomic():
                services.remember([analysis(early, finding(look))])
                written.set()
                finish.wait(10)
            connections.close_all()

        thread = threading.Thread(target=slow)
        thread.start()
        written.wait(10)
        later = seen(draw.character())
        bring_forward()
        assert set(stored().values()) >= {Vector.objects.get(post=later).stamp}
        finish.set()
        thread.join()
        assert services.near(vector=look)[0].post_id == early.pk
        bring_forward()
        assert stored() == truth()

    def test_two_processes_copy_and_follow_without_treading_on_each_other(self, monkeypatch):
        monkeypatch.setattr(shared, "CHUNK", 7)
        draw = Artist()
        for _ in range(40):
            seen(draw.character())

        def keep():
            mine = shared.SharedSpace(VERSION, "picture")
            deadline = time.monotonic() + 20
            while time.monotonic() < deadline and not Collection.objects.filter(complete=True).exists():
                mine.step()

        together(*[keep] * 3)
        bring_forward()
        assert stored() == truth()
        assert Collection.objects.count() == 1


class TestRecovers:
    def test_a_lost_collection_is_filled_anew(self, store):
        draw = Artist()
        shown = [seen(draw.character()) for _ in range(5)]
        row = bring_forward()
        MilvusIndex(store, row.name, SIZE).drop()
        with pytest.raises(Unavailable) as error:
            services.near(post_id=shown[0].pk)
        assert error.value.code == "index_building"
        assert bring_forward().name != row.name
        assert stored() == truth()
        assert len(services.near(post_id=shown[0].pk)) == 4

    def test_a_store_that_was_set_back_is_completed(self, store, monkeypatch):
        draw = Artist()
        for _ in range(5):
            seen(draw.character())
        row = bring_forward()
        index = MilvusIndex(store, row.name, SIZE)
        lost = list(truth())[:2]
        index.remove(np.array(lost))
        monkeypatch.setattr(shared, "RECONCILE", shared.timedelta(0))
        bring_forward()
        assert stored() == truth()

    def test_reindexing_makes_it_new(self, capsys):
        draw = Artist()
        for _ in range(5):
            seen(draw.character(), faces=[draw.character()])
        before = bring_forward().name
        call_command("booru_reindex", kind="picture")
        assert Collection.objects.get().name != before
        assert stored() == truth()
        assert f"{VERSION} picture: 5 vectors, Milvus" in capsys.readouterr().out

    def test_reindexing_without_the_store_says_so(self, settings):
        seen(Artist().character())
        settings.BOORU_ML = {**settings.BOORU_ML, "VECTOR_STORE": "milvus+http://127.0.0.1:1"}
        with pytest.raises(CommandError, match="does not answer"):
            call_command("booru_reindex")

    def test_while_much_is_missing_the_answer_is_503_not_half_of_it(self, monkeypatch):
        monkeypatch.setattr(shared, "BESIDE", 3)
        monkeypatch.setattr(shared.SharedSpace, "_wake", lambda self: None)
        draw = Artist()
        shown = [seen(draw.character()) for _ in range(5)]
        with pytest.raises(Unavailable) as error:
            services.near(post_id=shown[0].pk)
        assert (error.value.code, error.value.status) == ("index_building", 503)
        bring_forward()
        assert len(services.near(post_id=shown[0].pk)) == 4

    def test_rows_that_another_process_carried_over_are_not_compared_by_hand_for_ever(self, monkeypatch):
        """A long transaction elsewhere keeps the mark low; what is in the collection counts as there nevertheless."""
        monkeypatch.setattr(shared, "ASK_FROM", 2)
        monkeypatch.setattr(shared, "BESIDE", 3)
        draw = Artist()
        shown = [seen(draw.character()) for _ in range(9)]
        row = bring_forward()
        Collection.objects.update(low=0)
        fresh = shared.SharedSpace(VERSION, "picture")
        hits = fresh.search(decode([Vector.objects.get(post=shown[0], kind="picture").data]), 9)
        assert len(hits[0]) == 9
        assert not fresh._read
        assert row.complete


class TestAway:
    def test_searches_are_503_and_quick_about_it(self, settings, monkeypatch):
        settings.BOORU_ML = {**settings.BOORU_ML, "VECTOR_STORE": "milvus+http://127.0.0.1:1"}
        Collection.objects.create(
            store=shared.store(config().VECTOR_STORE).name,
            model_version=VERSION,
            kind="picture",
            name="booru_x",
            complete=True,
        )
        shown = seen(Artist().character())
        spent = []
        for _ in range(3):
            begun = time.monotonic()
            with pytest.raises(Unavailable) as error:
                services.near(post_id=shown.pk)
            spent.append(time.monotonic() - begun)
            assert (error.value.code, error.value.status) == ("vector_store", 503)
        assert spent[0] < 3
        assert max(spent[1:]) < 0.2

    def test_a_silent_server_is_given_up_and_heard_again(self, milvus, store, monkeypatch):
        monkeypatch.setattr("embeddings.index.milvus.QUIET_SECONDS", 0.1)
        monkeypatch.setattr("embeddings.index.milvus.TIMEOUT_SECONDS", 0.5)
        shown = [seen(Artist(n).character()) for n in range(3)]
        bring_forward()
        milvus.freeze()
        try:
            begun = time.monotonic()
            with pytest.raises(Unavailable):
                services.near(post_id=shown[0].pk)
            assert time.monotonic() - begun < 3
        finally:
            milvus.thaw()
        time.sleep(0.2)
        assert len(services.near(post_id=shown[0].pk)) == 2
