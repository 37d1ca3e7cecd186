from __future__ import annotations

import pytest
from django.test import Client

from deploy.demo.board import services
from deploy.demo.board.models import Post
from tests.flows.board import file, moderator, png, post, uploader
from tests.people import user

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("media")]


def found(client: Client, tags: str) -> list[int]:
    page = client.get("/posts", {"tags": tags})
    assert page.status_code == 200
    return [row.pk for row in page.context["page"]]


def test_searches_find_what_they_say(client: Client) -> None:
    ann, bea = uploader("ann"), uploader("bea")
    a = post(ann, "blue_hair hat", rating="g", source="https://x.example/a")
    b = post(ann, "blue_eyes hat", rating="q")
    c = post(bea, "red_hair", rating="e", status="active")
    for tags, expected in {
        "": [c, b, a],
        "hat": [b, a],
        "hat blue_hair": [a],
        "hat -blue_hair": [b],
        "blue_*": [b, a],
        "-blue_*": [c],
        "~red_hair ~blue_eyes": [c, b],
        "blue%": [],
        "nobody_has_this": [],
        "-nobody_has_this hat": [b, a],
        "rating:g,q": [b, a],
        "-rating:e": [b, a],
        "status:active": [c],
        "-status:active": [b, a],
        "user:bea": [c],
        "-user:bea": [b, a],
        "user:nobody": [],
        f"id:{a.pk},{c.pk}": [c, a],
        f"id:>{a.pk}": [c, b],
        "order:id": [a, b, c],
        "order:tagcount_asc tagcount:1": [c],
        "source:none": [c, b],
        "source:https://x.example": [a],
        f"md5:{b.md5}": [b],
        "filetype:png order:id_asc": [a, b, c],
        "width:8 height:<9": [c, b, a],
    }.items():
        assert found(client, tags) == [row.pk for row in expected], tags
    assert sorted(found(client, "order:random")) == [a.pk, b.pk, c.pk]
    assert found(client, "order:mpixels limit:1") != []


def test_a_search_that_cannot_be_meant_says_so(client: Client) -> None:
    page = client.get("/posts", {"tags": "rating:zzz"})
    assert page.status_code == 422
    assert "ratings are g, s, q and e" in page.content.decode()


def test_pages_and_the_side_list(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    from deploy.demo.board.views import browse

    monkeypatch.setattr(browse, "PER_PAGE", 2)
    ann = uploader()
    rows = [post(ann, f"hat t{number} artist:bob") for number in range(5)]
    first = client.get("/posts", {"tags": "hat"})
    assert [row.pk for row in first.context["page"]] == [rows[4].pk, rows[3].pk]
    assert [group.name for group in first.context["groups"]] == ["artist", "general"]
    assert "page=3" in first.content.decode()
    last = client.get("/posts", {"tags": "hat", "page": "3"})
    assert [row.pk for row in last.context["page"]] == [rows[0].pk]
    assert client.get("/posts", {"tags": "hat", "page": "nonsense"}).status_code == 200


def test_deleted_posts_are_for_moderators_and_their_uploader(client: Client) -> None:
    ann = uploader()
    row = post(ann, "hat", status="deleted")
    address, media_address = row.get_absolute_url(), row.picture.url

    def seen() -> tuple[int, int, int]:
        return (
            client.get(address).status_code,
            client.get(media_address).status_code,
            len(found(client, "status:deleted")),
        )

    assert seen() == (404, 404, 0)
    client.force_login(user(name="eve"))
    assert seen() == (404, 404, 0)
    client.force_login(ann)
    assert seen() == (200, 200, 1)
    client.force_login(moderator())
    assert seen() == (200, 200, 1)
    assert found(client, "hat") == []


HOSTILE = "<script>alert(1)</script>"


def test_hostile_names_are_text_on_every_page(client: Client) -> None:
    villain = uploader('"><img/src=x>')
    client.force_login(villain)
    answer = client.post(
        "/posts/new",
        {
            "file": [file(name=f"{HOSTILE}.png"), file(png(), f"{HOSTILE}2.png")],
            "tags": f'{HOSTILE} "onload="x',
            "rating": "g",
            "source": "javascript:alert(1)",
        },
    )
    row = Post.objects.first()
    pages = [answer.content.decode()] + [
        client.get(address).content.decode()
        for address in (
            row.get_absolute_url(),
            "/posts",
            f"/posts?tags={HOSTILE}",
            "/tags",
            "/tags?name=<script>",
            "/about",
        )
    ]
    for page in pages:
        assert "<script>alert" not in page
        assert "<img/src" not in page
        assert 'href="javascript' not in page


def test_pages_carry_a_strict_policy_and_nothing_inline(client: Client) -> None:
    ann = uploader()
    client.force_login(ann)
    row = post(ann, "hat")
    for address in ("/", "/posts", row.get_absolute_url(), "/posts/new", "/tags", "/about", "/nowhere"):
        answer = client.get(address)
        policy = answer["Content-Security-Policy"]
        assert "script-src 'self'" in policy
        assert "unsafe" not in policy
        text = answer.content.decode()
        assert " style=" not in text
        assert "<style" not in text
        assert "onclick" not in text
        assert "://" not in text.replace("http://www.w3.org", "").replace("https://…", "").replace(
            'placeholder="https://"', ""
        )


@pytest.mark.parametrize(
    ("content", "kind", "shown"),
    [
        (png(), "image/png", "inline"),
        (b"<svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'/>", "application/octet-stream", "attachment"),
        (b"<!doctype html><script>alert(1)</script>", "application/octet-stream", "attachment"),
        (b"GIF89a<script>alert(1)</script>", "image/gif", "inline"),
    ],
)
def test_media_never_have_a_type_that_runs(client: Client, content: bytes, kind: str, shown: str) -> None:
    row = services.upload(uploader=uploader(), file=file(content, "x.html"), rating="g")
    answer = client.get(row.picture.url)
    assert b"".join(answer.streaming_content) == content
    assert answer["Content-Type"] == kind
    assert answer["Content-Disposition"].startswith(shown)
    assert answer["X-Content-Type-Options"] == "nosniff"
    assert "sandbox" in answer["Content-Security-Policy"]
    assert client.get(row.picture.url, headers={"if-none-match": answer["ETag"]}).status_code == 304
    assert client.head(row.picture.url)["Content-Length"] == str(len(content))
    assert client.get(row.picture.url.rsplit(".", 1)[0] + ".html").status_code == 404


@pytest.mark.parametrize("address", ["/media/../settings.py", "/media/posts/aa/bb/x.png", "/media/"])
def test_nothing_else_is_served_as_media(client: Client, address: str) -> None:
    assert client.get(address).status_code == 404


def test_the_log_in_page_logs_in_and_out(client: Client) -> None:
    uploader("ann")
    assert client.get("/login").status_code == 200
    assert "Please enter a correct" in client.post("/login", {"username": "ann", "password": "no"}).content.decode()
    answer = client.post("/login", {"username": "ann", "password": "secret", "next": "/posts/new"})
    assert answer.url == "/posts/new"
    assert "Upload" in client.get("/").content.decode()
    assert client.post("/logout").status_code == 302


def test_every_page_works_on_an_empty_board(client: Client) -> None:
    for address in ("/", "/posts", "/tags", "/about", "/login", "/posts?page=9", "/tags?name=a*b&category=4"):
        assert client.get(address).status_code == 200
    assert client.get("/posts/1").status_code == 404


def test_the_grid_takes_a_constant_number_of_queries(client: Client, django_assert_max_num_queries) -> None:
    ann = uploader()
    for number in range(12):
        post(ann, f"hat t{number}")
    with django_assert_max_num_queries(8):
        client.get("/posts", {"tags": "hat"})
