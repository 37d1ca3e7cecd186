import json

import pytest

from tagging import services
from tagging.models import Suggestion, TagDecision
from tests.people import client_of, user
from tests.tagging.factories import moderator, post, suggestion

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("gallery", "fresh_throttles")]


def send(client, address):
    return client.post(address, content_type="application/json")


def listed(client, on, query=""):
    return client.get(f"/booru/api/posts/{on.pk}/suggestions/{query}")


def test_suggestions_of_a_post():
    picture = post()
    row = suggestion(picture, "miku", "character", evidence={"kind": "prototype", "box": [0, 0, 0.5, 0.5]})
    body = listed(client_of(picture.uploader), picture).json()
    assert (body["post"], body["may_decide"]) == (picture.pk, True)
    (item,) = body["suggestions"]
    assert item["id"] == row.pk
    assert item["box"] == {"x": 0, "y": 0, "width": 0.5, "height": 0.5}
    assert item["why"].startswith("The picture looks like")
    assert (item["state"], item["decision"], item["decided_by"]) == ("suggested", None, None)


def test_others_may_look_but_are_told_that_they_may_not_decide():
    picture = post()
    suggestion(picture)
    body = listed(client_of(user()), picture).json()
    assert body["may_decide"] is False
    assert len(body["suggestions"]) == 1


def test_the_list_is_narrowed_by_state():
    picture = post(rating="g")
    suggestion(picture, "a", state="rejected")
    suggestion(picture, "b")
    suggestion(picture, "g", "rating")
    client = client_of(picture.uploader)
    assert [item["name"] for item in listed(client, picture, "?state=rejected").json()["suggestions"]] == ["a"]
    assert {item["name"] for item in listed(client, picture, "?confirming=true").json()["suggestions"]} == {
        "a",
        "b",
        "g",
    }
    assert listed(client, picture, "?state=nonsense").status_code == 400
    assert listed(client, picture, "?sate=rejected").status_code == 400


def test_accept_reject_and_undo_over_http():
    picture = post()
    hat, smile = suggestion(picture, "hat"), suggestion(picture, "smile")
    client = client_of(picture.uploader)
    accepted = send(client, f"/booru/api/suggestions/{hat.pk}/accept/").json()
    assert accepted["suggestion"]["state"] == "accepted"
    assert accepted["suggestion"]["decided_by"] == picture.uploader.username
    assert accepted["decision"]["delta"]["tags_added"] == [{"name": "hat", "category": "general"}]
    assert send(client, f"/booru/api/suggestions/{smile.pk}/reject/").json()["suggestion"]["state"] == "rejected"
    undone = send(client, f"/booru/api/tag-decisions/{accepted['decision']['id']}/undo/").json()
    assert undone["suggestion"]["state"] == "suggested"
    assert undone["decision"]["undoes"] == accepted["decision"]["id"]
    assert undone["decision"]["delta"]["tags_removed"] == [{"name": "hat", "category": "general"}]
    history = client.get(f"/booru/api/posts/{picture.pk}/decisions/").json()
    assert [(row["verb"], row["name"], row["undone"]) for row in history["results"]] == [
        ("undo", "hat", False),
        ("reject", "smile", False),
        ("accept", "hat", True),
    ]


def test_being_too_late_is_a_conflict():
    picture = post()
    row = suggestion(picture)
    client = client_of(picture.uploader)
    send(client, f"/booru/api/suggestions/{row.pk}/accept/")
    late = send(client, f"/booru/api/suggestions/{row.pk}/reject/")
    assert (late.status_code, late.json()["code"], late.json()["extra"]) == (409, "stale_state", {"state": "accepted"})
    decision = TagDecision.objects.get()
    assert send(client, f"/booru/api/tag-decisions/{decision.pk}/undo/").status_code == 200
    assert send(client, f"/booru/api/tag-decisions/{decision.pk}/undo/").status_code == 409


@pytest.mark.parametrize("body", [{"score": 1}, {"state": "accepted"}, []])
def test_verbs_take_no_fields(body):
    picture = post()
    row = suggestion(picture)
    answer = client_of(picture.uploader).post(
        f"/booru/api/suggestions/{row.pk}/accept/", json.dumps(body), content_type="application/json"
    )
    assert answer.status_code == 400
    assert Suggestion.objects.get().state == "suggested"


# Columns: list, history, accept, reject, undo of the uploader's decision.
MATRIX = {
    ("anonymous", "active"): (401, 401, 401, 401, 401),
    ("other", "active"): (200, 200, 403, 403, 403),
    ("uploader", "active"): (200, 200, 200, 200, 200),
    ("moderator", "active"): (200, 200, 200, 200, 200),
    ("superuser", "active"): (200, 200, 200, 200, 200),
    ("anonymous", "deleted"): (401, 401, 401, 401, 401),
    ("other", "deleted"): (404, 404, 404, 404, 404),
    ("uploader", "deleted"): (404, 404, 404, 404, 404),
    ("moderator", "deleted"): (200, 200, 200, 200, 200),
    ("superuser", "deleted"): (200, 200, 200, 200, 200),
}


@pytest.mark.parametrize(("who", "status"), MATRIX)
def test_permission_matrix(who, status):
    picture = post()
    people = {
        "anonymous": None,
        "other": user(),
        "uploader": picture.uploader,
        "moderator": moderator(),
        "superuser": user(is_superuser=True),
    }
    rows = [suggestion(picture, f"tag{i}") for i in range(3)]
    decision = services.reject(suggestion_id=rows[2].pk, actor=picture.uploader)
    picture.status = status
    picture.save()
    client = client_of(people[who])
    answers = (
        listed(client, picture),
        client.get(f"/booru/api/posts/{picture.pk}/decisions/"),
        send(client, f"/booru/api/suggestions/{rows[0].pk}/accept/"),
        send(client, f"/booru/api/suggestions/{rows[1].pk}/reject/"),
        send(client, f"/booru/api/tag-decisions/{decision.pk}/undo/"),
    )
    assert tuple(answer.status_code for answer in answers) == MATRIX[who, status]
    for answer in answers:
        if answer.status_code >= 400:
            assert set(answer.json()) == {"code", "message", "extra"}


@pytest.mark.parametrize(
    "address",
    [
        "/booru/api/posts/999999/suggestions/",
        "/booru/api/posts/x/suggestions/",
        "/booru/api/posts/1%00/suggestions/",
        "/booru/api/posts/99999999999999999999999/decisions/",
        "/booru/api/posts/9/decisions/",
    ],
)
def test_posts_that_do_not_exist(address):
    answer = client_of(user()).get(address)
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


def test_rows_that_do_not_exist():
    client = client_of(moderator())
    for address in ("suggestions/0/accept", "suggestions/99999999999999999999999/reject", "tag-decisions/7/undo"):
        assert send(client, f"/booru/api/{address}/").status_code == 404
    assert client.get("/booru/api/suggestions/1/accept/").status_code == 405


def test_markup_in_names_stays_data():
    picture = post()
    suggestion(picture, "<script>alert(1)</script>", "character")
    answer = listed(client_of(picture.uploader), picture)
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.json()["suggestions"][0]["name"] == "<script>alert(1)</script>"
