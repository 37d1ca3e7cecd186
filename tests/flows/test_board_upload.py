from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from django.test import Client

from booru_ml.errors import InvalidInput, NotPermitted
from booru_ml.models import AnalysisJob
from deploy.demo.board import services
from deploy.demo.board.models import Post, Tag
from tests.flows.board import file, png, post, uploader
from tests.people import user

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("media")]


@pytest.fixture
def ann(client: Client):
    user = uploader("ann")
    client.force_login(user)
    return user


def test_an_upload_is_a_post_with_digests_size_tags_and_one_job(ann) -> None:
    content = png(20, 10)
    row = services.upload(
        uploader=ann, file=file(content), tags="artist:bob blue_hair", rating="s", source=" https://x.example/1 "
    )
    assert (row.sha256, row.md5) == (hashlib.sha256(content).hexdigest(), hashlib.md5(content).hexdigest())
    assert (row.width, row.height, row.file_ext, row.file_size) == (20, 10, "png", len(content))
    assert (row.rating, row.status, row.source) == ("s", "pending", "https://x.example/1")
    assert set(row.tags.values_list("name", "category", "post_count")) == {("bob", 1, 1), ("blue_hair", 0, 1)}
    assert list(AnalysisJob.objects.values_list("post_id", "content_key", "state")) == [(row.pk, row.sha256, "queued")]


def test_files_lie_under_their_digest_whatever_they_were_called(ann, media: Path) -> None:
    row = services.upload(uploader=ann, file=file(name="../../<img src=x onerror=alert(1)>.svg"), rating="g")
    assert row.picture.name == f"posts/{row.sha256[:2]}/{row.sha256[2:4]}/{row.sha256}.png"
    assert [path.name for path in media.rglob("*") if path.is_file()] == [f"{row.sha256}.png"]


def test_the_same_file_again_names_the_post_it_is(ann, client: Client) -> None:
    content = png()
    first = services.upload(uploader=ann, file=file(content), rating="g")
    with pytest.raises(services.DuplicatePost) as caught:
        services.upload(uploader=uploader("bea"), file=file(content), rating="g")
    assert caught.value.extra == {"post_id": first.pk, "url": f"/posts/{first.pk}"}
    answer = client.post("/posts/new", {"file": file(content), "rating": "g"}, headers={"accept": "application/json"})
    assert (answer.status_code, answer.json()["code"]) == (409, "duplicate")
    page = client.post("/posts/new", {"file": file(content), "rating": "g"})
    assert f'href="/posts/{first.pk}"' in page.content.decode()
    assert Post.objects.count() == 1


def test_a_file_left_by_a_broken_upload_is_replaced(ann, media: Path) -> None:
    content = png()
    digest = hashlib.sha256(content).hexdigest()
    leftover = media / "posts" / digest[:2] / digest[2:4] / f"{digest}.png"
    leftover.parent.mkdir(parents=True)
    leftover.write_bytes(content[:10])
    row = services.upload(uploader=ann, file=file(content), rating="g")
    assert Path(row.picture.path).read_bytes() == content


@pytest.mark.parametrize(
    "content",
    [b"no picture at all", b"<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>", png()[:40]],
)
def test_what_cannot_be_analysed_is_still_a_post(ann, client: Client, content: bytes) -> None:
    answer = client.post("/posts/new", {"file": file(content), "rating": "g"}, headers={"accept": "application/json"})
    assert answer.status_code == 201
    assert client.get(answer.json()["url"]).status_code == 200


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"rating": "x"}, "rating"),
        ({"tags": "a*b"}, "tag_name"),
        ({"source": "x" * 1001}, "source"),
        ({"file": file(b"")}, "empty"),
    ],
)
def test_bad_input_is_refused_before_anything_is_kept(ann, media: Path, changes: dict[str, object], code: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        services.upload(**{"uploader": ann, "file": file(), "rating": "g", **changes})
    assert caught.value.code == code
    assert not Post.objects.exists()
    assert not Tag.objects.exists()


def test_files_beyond_the_limit_are_refused(ann, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(services, "MAX_BYTES", 50)
    with pytest.raises(InvalidInput) as caught:
        services.upload(uploader=ann, file=file(), rating="g")
    assert caught.value.code == "too_large"


def test_only_uploaders_upload(client: Client) -> None:
    bystander = user(name="eve")
    with pytest.raises(NotPermitted):
        services.upload(uploader=bystander, file=file(), rating="g")
    assert client.post("/posts/new", {"file": file(), "rating": "g"}).status_code == 302
    client.force_login(bystander)
    answer = client.post("/posts/new", {"file": file(), "rating": "g"}, headers={"accept": "application/json"})
    assert (answer.status_code, answer.json()["code"]) == (403, "permission_denied")


def test_the_form_takes_several_files_and_answers_for_each(ann, client: Client) -> None:
    known = png()
    services.upload(uploader=ann, file=file(known), rating="g")
    page = client.post(
        "/posts/new", {"file": [file(name="new.png"), file(known, "old.png")], "rating": "g", "tags": "x"}
    )
    text = page.content.decode()
    assert page.status_code == 422
    assert "new.png" in text
    assert "already" in text
    assert Post.objects.count() == 2


def test_one_file_leads_to_its_post(ann, client: Client) -> None:
    answer = client.post("/posts/new", {"file": file(), "rating": "q"})
    assert answer.status_code == 302
    assert answer.url == Post.objects.get().get_absolute_url()


def test_a_dead_broker_is_not_the_uploaders_concern(ann, client: Client, django_capture_on_commit_callbacks) -> None:
    with django_capture_on_commit_callbacks(execute=True):
        answer = client.post("/posts/new", {"file": file(), "rating": "g"}, headers={"accept": "application/json"})
    assert answer.status_code == 201


def test_counts_follow_uploads_edits_and_deletions(ann) -> None:
    from booru_ml.host.loader import host

    first, second = post(ann, "hat smile"), post(ann, "hat")

    def counts() -> dict[str, int]:
        return dict(Tag.objects.values_list("name", "post_count"))

    assert counts() == {"hat": 2, "smile": 1}
    services.edit(post_id=first.pk, actor=ann, tags="smile", tags_before="hat smile", rating="g", source="")
    assert counts() == {"hat": 1, "smile": 1}
    host().set_status(second.pk, "deleted")
    assert counts() == {"hat": 0, "smile": 1}
    host().set_status(second.pk, "active")
    assert counts() == {"hat": 1, "smile": 1}


def test_the_plugin_keeps_counts_right_too(ann) -> None:
    from booru_ml.host.loader import host
    from booru_ml.types import Category, TagRef

    row = post(ann, "hat")
    refs = [TagRef("re:zero", Category.COPYRIGHT), TagRef("rating:e"), TagRef("hat")]
    assert host().add_tags(row.pk, refs) == (refs[0],)
    assert Tag.objects.get(name="re:zero").post_count == 1
    assert host().remove_tags(row.pk, refs) == (refs[0], refs[2])
    assert set(Tag.objects.values_list("post_count", flat=True)) == {0}


def test_a_stale_form_does_not_take_away_what_came_meanwhile(ann, client: Client) -> None:
    from booru_ml.host.loader import host
    from booru_ml.types import Category, TagRef

    row = post(ann, "hat smile")
    before = "hat smile"
    host().add_tags(row.pk, [TagRef("rei", Category.CHARACTER)])
    form = {"tags": "hat scarf", "tags_before": before, "rating": "s", "source": ""}
    assert client.post(f"/posts/{row.pk}/edit", form).status_code == 302
    row.refresh_from_db()
    assert set(row.tags.values_list("name", flat=True)) == {"hat", "scarf", "rei"}
    assert row.rating == "s"
    assert AnalysisJob.objects.count() == 1


def test_edits_need_the_right_and_a_sound_form(ann, client: Client) -> None:
    row = post(ann, "hat")
    form = {"tags": "a*b", "tags_before": "hat", "rating": "s", "source": ""}
    page = client.post(f"/posts/{row.pk}/edit", form)
    assert page.status_code == 422
    assert "a*b" in page.content.decode()
    client.force_login(user(name="eve"))
    assert client.post(f"/posts/{row.pk}/edit", {**form, "tags": ""}).status_code == 422
    assert list(row.tags.values_list("name", flat=True)) == ["hat"]
