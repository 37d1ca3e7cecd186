from __future__ import annotations

import pytest
from django.core.cache import cache
from django.test import Client

from embeddings import services
from embeddings.models import Subject, Support
from embeddings.types import SupportRef
from tests.embeddings.factories import Artist, enrolled, post, seen, uploader
from tests.people import client_of, user

pytestmark = pytest.mark.django_db
ENROL = "booru_embeddings.enrol_subject"


@pytest.fixture(autouse=True)
def _fresh_throttles():
    cache.clear()


def call(client: Client, verb: str, path: str, body=None):
    answer = getattr(client, verb)(f"/booru/api/{path}", body, content_type="application/json")
    return answer.status_code, (answer.json() if answer.content else None)


@pytest.fixture
def enroller() -> Client:
    return client_of(user(ENROL))


def test_a_character_is_enrolled_and_listed(enroller):
    shown = [seen(Artist(n).character()) for n in range(2)]
    status, made = call(
        enroller, "post", "characters/", {"name": "hatsune miku", "posts": [{"post": item.pk} for item in shown]}
    )
    assert status == 201
    assert (made["name"], made["category"], made["support_count"], made["enabled"]) == (
        "hatsune_miku",
        "character",
        2,
        True,
    )
    status, page = call(client_of(user()), "get", "characters/?search=miku")
    assert [item["id"] for item in page["results"]] == [made["id"]]
    assert call(client_of(user()), "get", "artists/")[1]["results"] == []
    assert call(client_of(user()), "get", f"artists/{made['id']}/")[0] == 404


def test_a_name_is_searched_in_whatever_case(enroller):
    enrolled("Éclair_blanc", [Artist().character()])
    for search in ("éclair b", "ÉCLAIR_B", "e\u0301CLAIR"):
        _, page = call(enroller, "get", f"characters/?search={search}")
        assert [item["name"] for item in page["results"]] == ["Éclair_blanc"]


def test_lists_are_narrowed_and_counted(enroller):
    draw = Artist()
    miku = enrolled("miku", [draw.character(), draw.character()])
    enrolled("luka", [draw.character()])
    services.set_enabled(subject_id=miku.pk, enabled=False)
    services.add_support(subject_id=miku.pk, posts=[SupportRef(post().pk)], positive=False, actor=None)
    _, page = call(enroller, "get", "characters/?enabled=false")
    assert [(item["name"], item["support_count"], item["negative_count"]) for item in page["results"]] == [
        ("miku", 2, 1)
    ]
    assert [item["name"] for item in call(enroller, "get", "characters/")[1]["results"]] == ["luka", "miku"]
    assert call(enroller, "get", "characters/?enabeld=false")[0] == 400


def test_rename_disable_and_forget(enroller):
    miku = enrolled("miku", [Artist().character()])
    path = f"characters/{miku.pk}/"
    assert call(enroller, "patch", path, {"name": "miku v2", "enabled": False})[1]["name"] == "miku_v2"
    assert call(enroller, "get", path)[1]["enabled"] is False
    assert call(enroller, "patch", path, {})[0] == 400
    assert call(enroller, "patch", path, {"category": "artist"})[0] == 400
    assert call(enroller, "delete", path)[0] == 204
    assert call(enroller, "get", path)[0] == 404


def test_a_taken_name_is_a_conflict(enroller):
    draw = Artist()
    enrolled("miku", [draw.character()])
    luka = enrolled("luka", [draw.character()])
    status, problem = call(enroller, "patch", f"characters/{luka.pk}/", {"name": "miku"})
    assert (status, problem["code"]) == (409, "name_taken")


def test_support_pictures_are_added_listed_and_taken_back(enroller):
    draw = Artist()
    miku = enrolled("miku", [draw.character()])
    group = seen(draw.character(), faces=[draw.character(), draw.character()])
    waiting = post()
    path = f"characters/{miku.pk}/support/"
    body = {"posts": [{"post": group.pk, "kind": "face", "number": 1}, {"post": waiting.pk}]}
    status, added = call(enroller, "post", path, body)
    assert status == 201
    assert {(item["post"], item["kind"], item["number"], item["live"]) for item in added} == {
        (group.pk, "face", 1, True),
        (waiting.pk, "picture", 0, False),
    }
    listed = call(client_of(user()), "get", path)[1]["results"]
    assert len(listed) == 3
    assert all(item["thumbnail_url"] and item["url"] for item in listed)
    assert call(enroller, "delete", f"{path}{added[0]['id']}/")[0] == 204
    assert call(enroller, "delete", f"{path}{added[0]['id']}/")[0] == 404
    assert miku.supports.count() == 2


def test_a_negative_is_added(enroller):
    miku = enrolled("miku", [Artist().character()])
    body = {"posts": [{"post": post().pk}], "positive": False}
    assert call(enroller, "post", f"characters/{miku.pk}/support/", body)[1][0]["positive"] is False


def test_a_support_of_another_subject_is_not_reached_through_this_one(enroller):
    draw = Artist()
    miku, luka = enrolled("miku", [draw.character()]), enrolled("luka", [draw.character()])
    assert call(enroller, "delete", f"characters/{miku.pk}/support/{luka.supports.get().pk}/")[0] == 404
    assert Support.objects.count() == 2


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({}, 400),
        ({"name": "miku", "posts": []}, 400),
        ({"name": "miku", "posts": [{"post": 404404}]}, 404),
        ({"name": "miku", "posts": [{"post": "x"}]}, 400),
        ({"name": "", "posts": [{"post": 1}]}, 400),
        ({"name": "miku", "posts": [{"post": 1, "kind": "style"}]}, 400),
        ({"name": "miku", "posts": [{"post": 1}], "enabled": "perhaps"}, 400),
        ({"name": "miku", "posts": [{"post": 1}] * 201}, 400),
        ([], 400),
    ],
)
def test_unusable_enrolments_are_refused(enroller, body, status):
    got, problem = call(enroller, "post", "characters/", body)
    assert got == status, problem
    assert set(problem) == {"code", "message", "extra"}
    assert not Subject.objects.exists()


def test_reading_takes_a_login_and_writing_the_permission():
    miku = enrolled("miku", [Artist().character()])
    support = miku.supports.get()
    reads = ["characters/", f"characters/{miku.pk}/", f"characters/{miku.pk}/support/"]
    writes = [
        ("post", "characters/", {"name": "x", "posts": [{"post": support.post_id}]}),
        ("post", "artists/", {"name": "x", "posts": [{"post": support.post_id}]}),
        ("patch", f"characters/{miku.pk}/", {"name": "x"}),
        ("delete", f"characters/{miku.pk}/", None),
        ("post", f"characters/{miku.pk}/support/", {"posts": [{"post": support.post_id}]}),
        ("delete", f"characters/{miku.pk}/support/{support.pk}/", None),
    ]
    for path in reads:
        assert call(client_of(), "get", path)[0] == 401
        assert call(client_of(user()), "get", path)[0] == 200
    for verb, path, body in writes:
        assert call(client_of(), verb, path, body)[0] == 401
        assert call(client_of(user()), verb, path, body)[0] == 403
    miku.refresh_from_db()
    assert (miku.name, miku.supports.count(), Subject.objects.count()) == ("miku", 1, 1)


def test_similar_posts_with_their_pictures():
    draw = Artist()
    look = draw.character()
    shown, near = seen(draw.picture(look)), seen(draw.picture(look))
    seen(draw.character())
    status, body = call(client_of(user()), "get", f"posts/{shown.pk}/similar/?limit=1")
    assert status == 200
    (only,) = body["similar"]
    assert (body["post"], only["post"], only["rating"]) == (shown.pk, near.pk, "g")
    assert only["similarity"] > 0.3
    assert only["thumbnail_url"]


@pytest.mark.parametrize("query", ["kind=smell", "limit=0", "limit=101", "number=-1", "what=1"])
def test_odd_questions_for_neighbours_are_refused(query):
    shown = seen(Artist().character())
    assert call(client_of(user()), "get", f"posts/{shown.pk}/similar/?{query}")[0] == 400


def test_neighbours_of_a_post_that_waits_or_is_gone():
    assert call(client_of(user()), "get", f"posts/{post().pk}/similar/")[1]["code"] == "not_analysed"
    assert call(client_of(user()), "get", "posts/404404/similar/")[0] == 404
    assert call(client_of(user()), "get", "posts/abc/similar/")[0] == 404


def test_deleted_posts_show_for_those_who_enrol_only(enroller):
    draw = Artist()
    look = draw.character()
    shown, deleted = seen(draw.picture(look)), seen(draw.picture(look))
    type(deleted).objects.filter(pk=deleted.pk).update(status="deleted")
    assert call(client_of(uploader()), "get", f"posts/{shown.pk}/similar/")[1]["similar"] == []
    assert len(call(enroller, "get", f"posts/{shown.pk}/similar/")[1]["similar"]) == 1
    assert call(client_of(uploader()), "get", f"posts/{deleted.pk}/similar/")[0] == 404
