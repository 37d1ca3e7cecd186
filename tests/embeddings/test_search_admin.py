"""Find by picture in the admin."""

from __future__ import annotations

import re

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client

from booru_ml.errors import Unavailable
from booru_ml.types import Box
from embeddings import queries
from tests.embeddings.factories import VERSION, Artist, seen
from tests.people import client_of, staff_client, user

pytestmark = pytest.mark.django_db
PAGE = "/admin/booru_embeddings/picturequery/"
LOOK = Artist(7).character()


@pytest.fixture
def staff() -> Client:
    return staff_client()


@pytest.fixture
def answers(monkeypatch):
    """A worker that sees ``LOOK`` in every picture, and one face."""
    seen = queries.Seen(VERSION, {("picture", 0): LOOK, ("face", 0): Artist(8).character()}, (Box(0.1, 0.1, 0.2, 0.2),))
    monkeypatch.setattr(queries, "ask", lambda picture, asker: seen)


def find(client: Client, data: bytes = b"a picture", kind: str = "picture", face: int = 1):
    return client.post(PAGE, {"picture": SimpleUploadedFile("a.png", data), "kind": kind, "face": face})


def test_shows_similar_posts_and_marks_duplicates(staff, answers):
    twin, other = seen(LOOK), seen(Artist(9).character())
    page = find(staff).text
    shown = re.findall(r'<li( class="find-duplicate")?>.*?alt="post (\d+)"', page, re.DOTALL)
    assert [(bool(mark), int(post)) for mark, post in shown] == [(True, twin.pk), (False, other.pk)]
    assert "1 post shows this very picture" in " ".join(page.split())
    assert "100.0 %" in page


def test_a_face_in_the_picture_may_ask(staff, answers):
    lone = seen(Artist(1).character(), faces=[Artist(8).character()])
    assert f'alt="post {lone.pk}"' in find(staff, kind="face").text
    assert find(staff, kind="face", face=2).status_code == 404


def test_what_goes_wrong_is_told_on_the_page(staff, settings, monkeypatch):
    def nobody(picture, asker):
        raise Unavailable("No worker is at work.", code="no_worker")

    monkeypatch.setattr(queries, "ask", nobody)
    answer = find(staff)
    assert (answer.status_code, "No worker is at work." in answer.text) == (503, True)
    settings.BOORU_ML = {**settings.BOORU_ML, "QUERY_BYTES": 10}
    assert "larger than" in find(staff, b"x" * 11).text


def test_it_is_for_staff_and_shows_no_rows(staff):
    assert staff.get(PAGE).status_code == 200
    assert staff.get(f"{PAGE}1/change/").status_code == 404
    assert "Find by picture" in staff.get("/admin/").text
    outsider = client_of(user())
    assert outsider.get(PAGE).status_code == 302
