"""The gallery's upkeep over HTTP."""

from __future__ import annotations

from importlib import import_module

import pytest
from django.apps import apps
from django.db import connection
from django.test import Client

from embeddings import services
from embeddings.models import Change, Subject
from embeddings.types import SupportRef
from tests.embeddings.factories import Artist, enrolled, post, seen
from tests.people import client_of, user

pytestmark = pytest.mark.django_db
API = "/booru/api/"


def client(*permissions: str) -> Client:
    return client_of(user(*permissions))


@pytest.fixture
def staff() -> Client:
    return client("booru_embeddings.enrol_subject")


@pytest.fixture
def board():
    draw = Artist(seed=2)
    look = draw.character()
    enrolled("rin", [draw.picture() for _ in range(3)])
    return {
        "examples": [seen(draw.picture(look)) for _ in range(4)],
        "old": [seen(draw.picture(look)) for _ in range(3)],
    }


def send(browser: Client, path: str, body=None):
    return browser.post(API + path, body or {}, content_type="application/json")


def verbs(browser: Client, subject: Subject):
    rows = browser.get(f"{API}gallery/changes/?subject={subject.pk}").json()["results"]
    return [row["verb"] for row in rows]


def refs_of(posts):
    return [SupportRef(item.pk) for item in posts]


def refs(posts):
    return [{"post": item.pk} for item in posts]


def test_a_dry_run_answers_with_pictures_and_writes_nothing(staff, board):
    answer = send(staff, "characters/preview/", {"name": "miku", "posts": refs(board["examples"])})
    assert answer.status_code == 200, answer.content
    body = answer.json()
    assert {hit["post"] for hit in body["hits"] if hit["named"]} == {item.pk for item in board["old"]}
    assert (body["count"], body["complete"], body["examples"]) == (3, True, 4)
    assert body["hits"][0]["thumbnail_url"]
    assert not body["hits"][0]["tagged"]
    assert not Subject.objects.filter(name="miku").exists()


def test_enrol_disabled_try_enable_and_undo(staff, board):
    made = send(staff, "characters/", {"name": "miku", "posts": refs(board["examples"]), "enabled": False}).json()
    assert made["enabled"] is False
    tried = send(staff, "characters/preview/", {"subject": made["id"]}).json()
    assert tried["count"] == 3
    staff.patch(f"{API}characters/{made['id']}/", {"enabled": True}, content_type="application/json")
    changes = staff.get(f"{API}gallery/changes/?subject={made['id']}").json()["results"]
    assert [item["verb"] for item in changes] == ["change", "enrol"]
    assert "enabled" in changes[0]["sentence"]
    undone = send(staff, f"gallery/changes/{changes[0]['id']}/undo/")
    assert undone.json()["undoes"] == changes[0]["id"]
    assert not Subject.objects.get(name="miku").enabled
    again = send(staff, f"gallery/changes/{changes[0]['id']}/undo/")
    assert (again.status_code, again.json()["code"]) == (409, "stale_state")


def test_merge_and_split(staff, board):
    miku = services.enrol(name="miku", posts=refs_of(board["examples"]), actor=None)
    some = list(miku.supports.values_list("pk", flat=True)[:2])
    split = send(staff, f"characters/{miku.pk}/split/", {"name": "snow miku", "supports": some})
    assert (split.status_code, split.json()["name"], split.json()["support_count"]) == (201, "snow_miku", 2)
    merged = send(staff, f"characters/{split.json()['id']}/merge/", {"into": miku.pk})
    assert merged.json()["support_count"] == 4
    assert not Subject.objects.filter(name="snow_miku").exists()
    assert Change.objects.first().actor is not None


def test_a_merge_and_a_split_are_in_the_history_of_both(staff, board):
    miku = services.enrol(name="miku", posts=refs_of(board["examples"]), actor=None)
    some = list(miku.supports.values_list("pk", flat=True)[:2])
    snow = services.split(subject_id=miku.pk, support_ids=some, name="snow miku", actor=None)
    services.merge(subject_id=snow.pk, into_id=miku.pk, actor=None)
    services.undo(change_id=Change.objects.latest("pk").pk, actor=None)
    assert verbs(staff, miku) == ["undo", "merge", "split", "enrol"]
    assert verbs(staff, snow) == ["undo", "merge", "split"]
    assert verbs(staff, Subject.objects.get(name="rin")) == ["enrol"]

    Change.objects.update(other_id=None)  # as rows were written before there was the column
    import_module("embeddings.migrations.0007_change_other_id").fill(apps, connection.schema_editor())
    assert verbs(staff, snow) == ["undo", "merge", "split"]


def test_health_lists_what_may_be_mislabelled(staff):
    draw = Artist(seed=4)
    one, other = draw.character(), draw.character()
    miku = enrolled("miku", [draw.picture(one) for _ in range(4)])
    enrolled("rin", [draw.picture(other) for _ in range(4)])
    services.add_support(subject_id=miku.pk, posts=[SupportRef(seen(draw.picture(other)).pk)], actor=None)
    (checked,) = staff.get(f"{API}characters/{miku.pk}/health/").json()
    assert (checked["kind"], checked["supports"], checked["rival"]) == ("picture", 5, "rin")
    (suspicion,) = checked["suspicions"]
    assert (suspicion["support"], suspicion["reason"]) == (miku.supports.last().pk, "rival")


WRITES = ("characters/preview/", "characters/1/merge/", "characters/1/split/", "gallery/changes/1/undo/")


@pytest.mark.parametrize("path", [*WRITES, "artists/preview/"])
def test_writing_and_trying_take_the_right_to_enrol(path):
    assert send(client(), path).status_code == 403
    assert send(Client(), path).status_code == 401


def test_reading_the_history_takes_it_too():
    assert client().get(f"{API}gallery/changes/").status_code == 403


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("characters/preview/", {}, 400),
        ("characters/preview/", {"name": "miku"}, 400),
        ("characters/preview/", {"name": "miku", "subject": 1, "posts": [{"post": 1}]}, 400),
        ("characters/preview/", {"name": "miku", "posts": [{"post": 404404}]}, 404),
        ("characters/preview/", {"name": "a,b", "posts": [{"post": 404404}]}, 400),
        ("characters/preview/", {"name": "miku\u0000", "posts": [{"post": 404404}]}, 400),
        ("characters/preview/", {"name": "miku", "posts": [{"post": 404404}] * 201}, 400),
        ("characters/preview/", {"subject": 404404}, 404),
        ("characters/preview/", {"subject": 2**63}, 400),
        ("characters/preview/", {"name": "miku", "nonsense": 1}, 400),
        ("characters/404404/merge/", {"into": 1}, 404),
        ("characters/404404/split/", {"name": "x", "supports": [1]}, 404),
        ("gallery/changes/404404/undo/", {}, 404),
        ("gallery/changes/404404/undo/", {"x": 1}, 400),
    ],
)
def test_hostile_wishes_are_refused_with_a_reason(staff, path, body, status):
    answer = send(staff, path, body)
    assert answer.status_code == status, answer.content
    assert answer.json()["message"]


def test_an_artist_is_not_reached_through_the_characters(staff):
    someone = services.enrol(name="someone", category="artist", posts=[SupportRef(post().pk)], actor=None)
    for path, body in [
        ("characters/preview/", {"subject": someone.pk}),
        (f"characters/{someone.pk}/merge/", {"into": someone.pk}),
        (f"characters/{someone.pk}/split/", {"name": "x", "supports": [1]}),
    ]:
        assert send(staff, path, body).status_code == 404
    assert staff.get(f"{API}characters/{someone.pk}/health/").status_code == 404


def test_pictures_of_deleted_posts_are_for_those_who_enrol(staff, board):
    board["old"][0].status = "deleted"
    board["old"][0].save()
    found = send(staff, "characters/preview/", {"name": "miku", "posts": refs(board["examples"])}).json()
    assert board["old"][0].pk in {hit["post"] for hit in found["hits"]}
