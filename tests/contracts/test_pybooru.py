"""pybooru as it comes from the package index."""

from __future__ import annotations

import pytest
from pybooru import Danbooru
from pybooru.exceptions import PybooruHTTPError
from rest_framework.authtoken.models import Token

from tests.flows.board import moderator, post, uploader

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("media")]


@pytest.fixture
def client(live_server) -> Danbooru:
    return Danbooru(site_url=live_server.url)


def test_posts(client: Danbooru) -> None:
    ann = uploader()
    rows = [post(ann, "hat artist:bob"), post(ann, "hat smile", rating="e"), post(ann, "smile")]
    assert [item["id"] for item in client.post_list(tags="hat", limit=10)] == [rows[1].pk, rows[0].pk]
    assert [item["id"] for item in client.post_list(tags="hat rating:e")] == [rows[1].pk]
    assert [item["id"] for item in client.post_list(limit=2, page=2)] == [rows[0].pk]
    shown = client.post_show(rows[0].pk)
    assert (shown["tag_string_artist"], shown["md5"]) == ("bob", rows[0].md5)
    assert client.count_posts(tags="hat") == {"counts": {"posts": 2}}


def test_tags(client: Danbooru) -> None:
    post(uploader(), "blue_hair blue_eyes character:rei")
    assert [item["name"] for item in client.tag_list(name_matches="blue_*", order="name")] == ["blue_eyes", "blue_hair"]
    assert sorted(item["name"] for item in client.tag_list(name="rei,blue_eyes")) == ["blue_eyes", "rei"]
    (rei,) = client.tag_list(category="4", hide_empty="yes")
    assert (rei["name"], rei["post_count"]) == ("rei", 1)
    assert client.tag_show(rei["id"])["category"] == 4


def test_related_tags(client: Danbooru) -> None:
    ann = uploader()
    post(ann, "blue_hair character:rei")
    post(ann, "blue_hair")
    related = client.tag_related("rei")
    assert [item["tag"]["name"] for item in related["related_tags"]] == ["rei", "blue_hair"]
    assert [item["tag"]["name"] for item in client.tag_related("blue_hair", category="4")["related_tags"]] == ["rei"]


def test_log_in(live_server) -> None:
    row = post(uploader(), "hat", status="deleted")
    key = Token.objects.create(user=moderator("mod")).key
    client = Danbooru(site_url=live_server.url, username="mod", api_key=key)
    assert [item["id"] for item in client.post_list(tags="status:deleted")] == [row.pk]
    wrong = Danbooru(site_url=live_server.url, username="mod", api_key="wrong")
    with pytest.raises(PybooruHTTPError):
        wrong.post_list()
    assert wrong.last_call["status_code"] == 401


def test_what_is_not_there(client: Danbooru) -> None:
    with pytest.raises(PybooruHTTPError):
        client.post_show(999)
    assert client.last_call["status_code"] == 404
