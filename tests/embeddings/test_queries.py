"""Queries by picture: somebody waits, a worker answers between its uploads, nothing stays."""

from __future__ import annotations

import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import timedelta
from hashlib import sha256

import numpy as np
import pytest
from django.core.cache import cache
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connection, connections, transaction
from django.db.models.functions import Now
from django.test import Client

from booru_ml.errors import PictureRefused, TooMany, Unavailable
from booru_ml.models import Worker as WorkerRow
from booru_ml.pipeline import doorbell
from booru_ml.pipeline.queries import Queries
from booru_ml.pipeline.runner import Runner
from booru_ml.types import Box, Category, Face, Finding, Scores
from embeddings import queries, services
from embeddings.models import PictureQuery
from tests.booru_ml.pipeline.fakes import FakeDecoders, FakeEngine
from tests.embeddings.factories import VERSION, Artist, post, seen
from tests.people import client_of, user

threaded = pytest.mark.django_db(transaction=True)
KNOWN, ODD = b"a picture that the engine knows", b"one that it fails on"


@pytest.fixture(autouse=True)
def quick(settings, monkeypatch):
    cache.clear()
    monkeypatch.setattr(doorbell, "ring", lambda: None)
    settings.BOORU_ML = {**settings.BOORU_ML, "QUERY_SECONDS": 5.0}


class Encoder(FakeEngine):
    """Sees ``look`` in every picture, and a face of its own."""

    def __init__(self, look=None, before=lambda pictures: None):
        super().__init__(before)
        self.look = Artist(7).character() if look is None else look

    def _one(self, picture):
        face = Face(Box(0.1, 0.2, 0.3, 0.4), 0.9, Artist(8).character())
        rating = np.array([0.7, 0.2, 0.05, 0.05], dtype=np.float32)
        scores = Scores("rating", ("g", "s", "q", "e"), (Category.RATING,) * 4, rating, VERSION)
        return Finding(self.look, self.look, (face,), {"rating": scores}, VERSION)


class Crew:
    """A worker in a thread that drains until the test is over."""

    def __init__(self, engine: FakeEngine, decoders: FakeDecoders | None = None, sinks=()) -> None:
        decoders = decoders or FakeDecoders()
        self.runner = Runner(
            engine, FakeDecoders(), version=engine.version, sinks=sinks, queries=Queries(engine, decoders)
        )
        self.thread = threading.Thread(target=self._work)

    def _work(self) -> None:
        while not self.runner.stop.is_set():
            self.runner.drain()
            time.sleep(0.01)
        connections.close_all()

    def __enter__(self) -> Crew:
        WorkerRow.objects.create(name="test:1")
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.runner.stop.set()
        self.thread.join()


def together(count, call):
    def one(number):
        try:
            return call(number)
        finally:
            connections.close_all()

    with ThreadPoolExecutor(count) as pool:
        return [future.exception() or future.result() for future in [pool.submit(one, n) for n in range(count)]]


def sent(client: Client, data=KNOWN, query="", **headers):
    return client.post(f"/booru/api/similar/{query}", {"file": SimpleUploadedFile("a.png", data)}, headers=headers)


@pytest.fixture
def client() -> Client:
    return client_of(user())


@threaded
class TestAnswers:
    def test_a_worker_sees_the_picture_and_the_posts_like_it_come_back(self, client):
        engine = Encoder()
        twin, other = seen(engine.look), seen(Artist(9).character())
        with Crew(engine):
            body = sent(client, query="?limit=5").json()
            raw = client.post("/booru/api/similar/?limit=5", KNOWN, content_type="image/png").json()
        assert [(item["post"], item["duplicate"]) for item in body["similar"]] == [(twin.pk, True), (other.pk, False)]
        assert body["similar"][0]["similarity"] > 0.99
        assert body["faces"] == [{"x": 0.1, "y": 0.2, "width": 0.3, "height": 0.4}]
        assert raw == body

    def test_a_face_of_the_picture_may_ask(self, client):
        lone = seen(Artist(1).character(), faces=[Artist(8).character()])
        with Crew(Encoder()):
            body = sent(client, query="?kind=face").json()
            none = sent(client, query="?kind=face&number=3")
        assert [(item["post"], item["duplicate"]) for item in body["similar"]] == [(lone.pk, False)]
        assert (none.status_code, none.json()["code"], none.json()["extra"]) == (404, "no_such_vector", {"faces": 1})

    def test_nothing_of_the_picture_stays(self, client):
        with Crew(Encoder()):
            assert sent(client).status_code == 200
            assert sent(client, b"bad").status_code == 422
        assert not PictureQuery.objects.exists()

    def test_a_refused_picture_says_why(self, client):
        with Crew(Encoder()):
            answer = sent(client, b"bad picture")
        assert (answer.status_code, answer.json()["code"]) == (422, "corrupt")
        assert answer.json()["message"]

    def test_one_picture_that_the_networks_fail_on_fails_alone(self):
        def fail(pictures):
            if any(picture.sha256 == sha256(ODD).hexdigest() for picture in pictures):
                raise ValueError("odd")

        with Crew(Encoder(before=fail)):
            said = together(4, lambda n: queries.ask(ODD if n == 2 else KNOWN, asker=str(n)))
        assert [isinstance(item, PictureRefused) for item in said] == [False, False, True, False]


@pytest.mark.django_db
class TestTurnedAway:
    def test_without_a_worker_the_answer_is_503_at_once(self, client):
        begun = time.monotonic()
        answer = sent(client)
        assert (answer.status_code, answer.json()["code"]) == (503, "no_worker")
        assert set(answer.json()) == {"code", "message", "extra"}
        assert time.monotonic() - begun < 1

    def test_a_worker_that_does_not_come_in_time_is_503_and_leaves_nothing(self, client, settings):
        settings.BOORU_ML = {**settings.BOORU_ML, "QUERY_SECONDS": 0.3}
        WorkerRow.objects.create(name="asleep:1")
        answer = sent(client)
        assert (answer.status_code, answer.json()["code"]) == (503, "no_answer")
        assert not PictureQuery.objects.exists()

    def test_a_flood_is_turned_away_at_the_door(self, settings):
        settings.BOORU_ML = {**settings.BOORU_ML, "QUERY_SECONDS": 1.5, "QUERIES_WAITING": 3}
        WorkerRow.objects.create(name="asleep:1")
        for number in range(3):
            waiting(asker=f"other{number}")
        with pytest.raises(Unavailable) as error:
            queries.ask(KNOWN, asker="me")
        assert error.value.code == "busy"

    def test_one_user_does_not_take_all_the_places(self):
        WorkerRow.objects.create(name="asleep:1")
        for _ in range(queries.MOST_PER_ASKER):
            waiting(asker="greedy")
        with pytest.raises(TooMany):
            queries.ask(KNOWN, asker="greedy")

    def test_too_large_a_file_is_not_even_read(self, client, settings):
        settings.BOORU_ML = {**settings.BOORU_ML, "QUERY_BYTES": 1000}
        for data in (b"x" * 1001, b"x" * 200_000):
            answer = sent(client, data)
            assert (answer.status_code, answer.json()["code"]) == (422, "too-many-bytes")
        raw = client.post("/booru/api/similar/", b"x" * 1001, content_type="image/png")
        assert (raw.status_code, raw.json()["code"]) == (422, "too-many-bytes")

    @pytest.mark.parametrize(
        ("body", "kind", "status"),
        [
            (b"", "image/png", 400),
            (b"{}", "application/json", 415),
            (b"--b\r\n--b--\r\n", "multipart/form-data; boundary=b", 400),
        ],
    )
    def test_no_picture_is_said_to_be_missing(self, client, body, kind, status):
        assert client.post("/booru/api/similar/", body, content_type=kind).status_code == status

    def test_it_takes_a_login(self):
        assert sent(Client()).status_code == 401


def waiting(asker="somebody", seconds=5.0, picture=KNOWN, **fields) -> int:
    row = PictureQuery(asker=asker, picture=picture, expires_at=Now() + timedelta(seconds=seconds), **fields)
    row.save(force_insert=True)
    return row.pk


@pytest.mark.django_db
class TestWork:
    def test_expired_queries_are_not_worked_and_go(self):
        waiting(seconds=-0.001)
        engine = Encoder()
        assert Queries(engine, FakeDecoders()).step() is False
        assert engine.batches == []
        assert not PictureQuery.objects.exists()

    def test_a_query_that_expires_while_it_is_decoded_is_not_looked_at(self):
        class Slow(FakeDecoders):
            def submit(self, stream):
                return Future()

        waiting(seconds=0.05)
        engine = Encoder()
        mine = Queries(engine, Slow())
        while mine.step():
            pass
        assert engine.batches == []

    def test_a_lost_worker_passes_its_query_on_but_not_for_ever(self):
        query = waiting()
        for attempt in range(queries.MOST_ATTEMPTS):
            (taken,) = queries.take(4)
            assert queries.take(4) == []
            assert PictureQuery.objects.get(pk=taken.id).attempts == attempt + 1
            PictureQuery.objects.filter(pk=query).update(taken_until=Now() - timedelta(seconds=1))
        assert not queries.waiting()

    def test_a_stopping_worker_gives_back_what_it_has_in_hand(self):
        class Slow(FakeDecoders):
            def submit(self, stream):
                return Future()

        query = waiting()
        mine = Queries(Encoder(), Slow())
        mine.step()
        assert not queries.waiting()
        mine.give_back()
        assert queries.waiting()
        assert PictureQuery.objects.get(pk=query).attempts == 0

    @threaded
    def test_two_workers_never_take_the_same(self):
        for _ in range(8):
            waiting()
        taken = [query.id for found in together(4, lambda _: queries.take(3)) for query in found]
        assert len(taken) == len(set(taken)) == 8

    @threaded
    def test_no_transaction_may_be_open_around_a_query(self):
        WorkerRow.objects.create(name="asleep:1")
        with pytest.raises(RuntimeError, match="durable"), transaction.atomic():
            queries.ask(KNOWN, asker="me")

    @threaded
    def test_a_view_waits_outside_of_the_hosts_transaction_per_request(self, client, monkeypatch):
        monkeypatch.setitem(connection.settings_dict, "ATOMIC_REQUESTS", True)
        with Crew(Encoder()):
            assert sent(client).status_code == 200


@threaded
def test_find_is_a_service_too():
    look = Artist(7).character()
    shown = seen(look)
    post()
    with Crew(Encoder(look)):
        found = services.find_by_picture(KNOWN, asker="1", limit=1)
    assert [item.post_id for item in found.neighbours] == [shown.pk]
    assert found.twins == {shown.pk}
