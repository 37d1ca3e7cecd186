from __future__ import annotations

import base64
from typing import Any

import pytest
from django.test import Client
from rest_framework.authtoken.models import Token

from tests.flows.board import moderator, post, uploader

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("media")]


def get(client: Client, address: str, /, **params: Any) -> Any:
    answer = client.get(address, params)
    assert answer.status_code == 200, answer.content
    return answer.json()


def ids(client: Client, **params: Any) -> list[int]:
    return [row["id"] for row in get(client, "/posts.json", **params)]


def test_a_post_has_danboorus_fields(client: Client) -> None:
    row = post(
        uploader(), "artist:bob character:rei blue_hair copyright:x meta:hires", rating="s", source="https://x.example"
    )
    body = get(client, f"/posts/{row.pk}.json")
    assert body["tag_string"] == "blue_hair bob hires rei x"
    assert {key: body[f"tag_string_{key}"] for key in ("general", "artist", "copyright", "character", "meta")} == {
        "general": "blue_hair",
        "artist": "bob",
        "copyright": "x",
        "character": "rei",
        "meta": "hires",
    }
    assert (body["rating"], body["source"], body["md5"], body["tag_count"]) == ("s", "https://x.example", row.md5, 5)
    assert body["file_url"] == f"http://testserver{row.picture.url}"
    assert (body["image_width"], body["file_ext"], body["is_pending"], body["is_deleted"]) == (8, "png", True, False)
    assert body["created_at"].endswith("+00:00")
    assert body["media_asset"]["variants"][-1]["url"] == body["file_url"]
    assert get(client, "/posts.json", md5=row.md5)["id"] == row.pk


def test_only_prunes_nested_fields(client: Client) -> None:
    row = post(uploader(), "hat")
    body = get(client, "/posts.json", only="id,media_asset[id,variants[type]],nonsense")
    assert body == [{"id": row.pk, "media_asset": {"id": row.pk, "variants": [{"type": "original"}]}}]
    for wrong in ("a[", "a]", "[a]", "a[b[c[d[e[f]]]]]"):
        answer = client.get("/posts.json", {"only": wrong})
        assert answer.status_code == 422
        assert set(answer.json()) == {"success", "error", "message", "backtrace"}


def test_pages_by_number_and_by_id(client: Client) -> None:
    ann = uploader()
    made = [post(ann, "hat").pk for _ in range(6)]
    newest = made[::-1]
    assert ids(client, limit=4) == newest[:4]
    assert ids(client, limit=4, page=2) == newest[4:]
    assert ids(client, limit=2, page=f"b{newest[1]}") == newest[2:4]
    assert ids(client, limit=2, page=f"a{made[0]}") == [made[2], made[1]]
    assert ids(client, limit=0) == []
    assert ids(client, limit="nonsense", page="nonsense") == newest
    assert ids(client, tags="order:id", limit=2) == made[:2]
    assert ids(client, tags="limit:3") == newest[:3]
    answer = client.get("/posts.json", {"page": 1001})
    assert (answer.status_code, answer.json()["success"]) == (410, False)


def test_searches_and_counts(client: Client) -> None:
    ann = uploader()
    a, b = post(ann, "hat", rating="g"), post(ann, "hat smile", rating="e")
    post(ann, "hat", status="deleted")
    assert ids(client, tags="hat -smile") == [a.pk]
    assert ids(client, tags="rating:e") == [b.pk]
    assert get(client, "/counts/posts.json", tags="hat") == {"counts": {"posts": 2}}
    assert get(client, "/posts/random.json", tags="smile")["id"] == b.pk
    assert sorted(ids(client, random="true")) == [a.pk, b.pk]


def test_tags_by_name_pattern_and_order(client: Client) -> None:
    ann = uploader()
    post(ann, "blue_hair blue_eyes artist:bob")
    post(ann, "blue_hair")

    def names(**search: Any) -> list[str]:
        return [
            row["name"]
            for row in get(client, "/tags.json", **{f"search[{key}]": value for key, value in search.items()})
        ]

    assert names(order="count")[0] == "blue_hair"
    assert names(name="bob") == ["bob"]
    assert sorted(names(name_comma="bob,blue_eyes")) == ["blue_eyes", "bob"]
    assert names(name_matches="blue_*", order="name") == ["blue_eyes", "blue_hair"]
    assert names(name_matches="blue") == []
    assert names(category="1") == ["bob"]
    assert names(category="²,x") == []
    row = get(client, "/tags.json", **{"search[name]": "blue_hair"})[0]
    assert set(row) == {"id", "name", "post_count", "category", "created_at", "updated_at", "is_deprecated", "words"}
    assert (row["post_count"], row["words"]) == (2, ["blue", "hair"])
    assert get(client, f"/tags/{row['id']}.json")["name"] == "blue_hair"


def test_related_tags_are_ranked_by_likeness(client: Client) -> None:
    ann = uploader()
    post(ann, "rei blue_hair character:rei plugsuit")
    post(ann, "rei blue_hair")
    post(ann, "blue_hair hat")
    for params in ({"query": "rei"}, {"search[query]": "rei"}):
        body = get(client, "/related_tag.json", **params)
        assert (body["query"], body["post_count"], body["tag"]["name"]) == ("rei", 2, "rei")
        assert [row["tag"]["name"] for row in body["related_tags"]] == ["rei", "blue_hair", "plugsuit"]
        blue = body["related_tags"][1]
        assert blue["frequency"] == 1.0
        assert blue["cosine_similarity"] == pytest.approx(2 / (3 * 2) ** 0.5)
        assert blue["jaccard_similarity"] == pytest.approx(2 / 3)
        assert blue["overlap_coefficient"] == 1.0
    assert get(client, "/related_tag.json", query="rei", category="copyright")["related_tags"] == []
    assert get(client, "/related_tag.json", query="")["related_tags"] == []
    assert client.get("/related_tag.json", {"query": "rei", "category": "nonsense"}).status_code == 422


def test_autocomplete_finishes_the_last_word(client: Client) -> None:
    ann = uploader()
    post(ann, "blue_hair blue_eyes")
    post(ann, "blue_hair")

    def values(query: str, kind: str = "tag_query") -> list[str]:
        params = {"search[query]": query, "search[type]": kind}
        return [row["value"] for row in get(client, "/autocomplete.json", **params)]

    assert values("hat -blu") == ["blue_hair", "blue_eyes"]
    assert values("blue h", "tag") == ["blue_hair"]
    assert values("rating:") == ["rating:g", "rating:s", "rating:q", "rating:e"]
    assert values("ord") == ["order:"]
    assert values("") == values("-") == []
    row = get(client, "/autocomplete.json", **{"search[query]": "blue_h"})[0]
    assert set(row) == {"type", "label", "value", "category", "post_count", "antecedent", "tag"}
    assert (row["label"], row["post_count"], row["category"]) == ("blue hair", 2, 0)


def test_api_keys_come_as_basic_or_in_the_query(client: Client) -> None:
    mod = moderator("mod")
    row = post(uploader(), "hat", status="deleted")
    key = Token.objects.create(user=mod).key
    assert ids(client, tags="status:deleted") == []
    assert ids(client, tags="status:deleted", login="mod", api_key=key) == [row.pk]
    basic = base64.b64encode(f"mod:{key}".encode()).decode()
    answer = client.get("/posts.json", {"tags": "status:deleted"}, headers={"authorization": f"Basic {basic}"})
    assert [item["id"] for item in answer.json()] == [row.pk]


@pytest.mark.parametrize(
    "request_as",
    [
        {"data": {"login": "mod", "api_key": "wrong"}},
        {"data": {"login": "mod\0", "api_key": "\0"}},
        {"headers": {"authorization": "Basic !!!"}},
        {"headers": {"authorization": "Basic " + base64.b64encode(b"mod:wrong").decode()}},
    ],
)
def test_a_wrong_key_is_said_so(client: Client, request_as: dict[str, Any]) -> None:
    moderator("mod")
    answer = client.get("/posts.json", **request_as)
    assert answer.status_code == 401
    assert answer.json() == {
        "success": False,
        "error": "SessionLoader::AuthenticationFailure",
        "message": answer.json()["message"],
        "backtrace": [],
    }


def test_errors_have_danboorus_shape(client: Client) -> None:
    for address, status in {
        "/posts/999.json": 404,
        "/tags/999.json": 404,
        "/pools.json": 404,
        "/posts.json?tags=rating:zzz": 422,
        "/posts.json?md5=none": 404,
        "/posts/random.json?tags=nothing": 404,
    }.items():
        answer = client.get(address)
        assert (address, answer.status_code) == (address, status)
        assert set(answer.json()) == {"success", "error", "message", "backtrace"}
    assert client.post("/posts.json").status_code == 405


QUERIES = [
    ("/posts.json", "tags"),
    ("/posts.json", "md5"),
    ("/posts.json", "page"),
    ("/posts.json", "only"),
    ("/tags.json", "search[name_matches]"),
    ("/tags.json", "search[id]"),
    ("/related_tag.json", "query"),
    ("/autocomplete.json", "search[query]"),
    ("/posts", "tags"),
    ("/posts", "page"),
    ("/tags", "name"),
    ("/tags", "category"),
]


@pytest.mark.parametrize(("address", "key"), QUERIES)
def test_nothing_in_a_query_string_breaks_it(client: Client, address: str, key: str) -> None:
    post(uploader(), "hat")
    for value in ("\0", "a" * 5000, "%", "\\", "²", "'", "🙂", "*" * 50, "-", "~", ":", "9" * 30):
        assert client.get(address, {key: value}).status_code < 500, value
    assert client.get(f"{address}?{key}=%ed%a0%80%ff").status_code < 500
