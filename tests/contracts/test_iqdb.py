"""The IQDB wire format, as Danbooru's client speaks it: 180×180 JPEGs, ``limit`` in the query, exactly 200 wanted."""

from __future__ import annotations

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.urls import include, path

from booru_ml.errors import Unavailable
from deploy.demo.urls import urlpatterns as board
from embeddings import queries
from embeddings.store import encode
from tests.embeddings.conftest import encoder, fresh_process  # noqa: F401
from tests.embeddings.factories import VERSION, Artist, seen

pytestmark = [pytest.mark.django_db, pytest.mark.urls(__name__)]
urlpatterns = [path("iqdb/", include("embeddings.iqdb")), *board]
LOOK = Artist(7).character()


@pytest.fixture
def worker(monkeypatch):
    """Sees ``LOOK`` in every picture."""
    answer = queries.Seen(VERSION, {("picture", 0): LOOK}, ())
    monkeypatch.setattr(queries, "ask", lambda picture, asker: answer)


def query(address="/iqdb/query", **body):
    return Client(enforce_csrf_checks=True).post(address, body)


def picture() -> SimpleUploadedFile:
    return SimpleUploadedFile("a.jpg", b"180x180", "application/octet-stream")


def test_a_query_by_file_lists_the_posts_best_first(worker):
    same, other = seen(LOOK), seen(Artist(9).character())
    answer = query(file=picture())
    assert answer.status_code == 200
    best, second = answer.json()
    assert (best["post_id"], second["post_id"]) == (same.pk, other.pk)
    assert best["score"] == pytest.approx(100, abs=0.1)
    assert 0 <= second["score"] < best["score"]
    assert best["hash"].startswith("iqdb_")
    assert len(best["signature"]["avglf"]) == len(best["signature"]["sig"]) == 3
    assert len(query("/iqdb/query?limit=1", file=picture()).json()) == 1
    assert query("/iqdb/query?limit=0", file=picture()).json() == []


def test_an_empty_index_answers_an_empty_list(worker):
    assert query(file=picture()).json() == []


def test_a_hash_asks_without_a_worker():
    same = seen(LOOK)
    said = f"iqdb_{encode(LOOK).hex()}"
    for answer in (query(hash=said), query(f"/iqdb/query?hash={said}")):
        assert [item["post_id"] for item in answer.json()] == [same.pk]
        assert answer.json()[0]["hash"] == said
    for odd in ("iqdb_", "iqdb_zz", "iqdb_" + "00" * 64, "iqdb_003c003c"):
        assert query(hash=odd).status_code == 400


def test_adding_and_deleting_answer_as_the_original_and_change_nothing(worker):
    shown = seen(LOOK)
    client = Client()
    assert client.get("/iqdb/status").json() == {"images": 1}
    added = client.post(f"/iqdb/images/{shown.pk}", {"file": picture()}).json()
    assert (added["post_id"], added["hash"]) == (shown.pk, f"iqdb_{encode(LOOK).hex()}")
    assert client.delete("/iqdb/images/999").json() == {"post_id": 999}
    assert client.delete(f"/iqdb/images/{shown.pk}").json() == {"post_id": shown.pk}
    assert client.get("/iqdb/status").json() == {"images": 1}


def test_anything_else_is_404_with_an_empty_body():
    client = Client()
    for answer in (client.get("/iqdb/query"), client.get("/iqdb/nothing"), client.put("/iqdb/images/1")):
        assert (answer.status_code, answer.content) == (404, b"")


def test_errors_have_the_originals_fields(monkeypatch):
    def nobody(picture, asker):
        raise Unavailable("No worker is at work.", code="no_worker")

    monkeypatch.setattr(queries, "ask", nobody)
    answer = query(file=picture())
    assert answer.status_code == 503
    assert answer.json() == {"backtrace": [], "exception": "no_worker", "message": "No worker is at work."}
    assert query().status_code == 400
