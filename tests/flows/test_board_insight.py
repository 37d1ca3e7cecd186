"""The post page's suggestions, decisions, faces, neighbours and previews, with rows as an analysis leaves them."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from django.contrib.auth.models import Permission
from django.test import Client
from PIL import Image

from booru_ml.models import AnalysisJob
from deploy.demo.board import services
from deploy.demo.board.models import Post
from embeddings.models import Subject, Support, Vector
from embeddings.store import encode
from tagging.models import Suggestion
from tests.flows.board import file, moderator, png, post, uploader
from tests.people import user

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("media")]


@pytest.fixture
def ann():
    return uploader("ann")


@pytest.fixture
def row(ann, client: Client) -> Post:
    client.force_login(ann)
    made = post(ann, "hat")
    AnalysisJob.objects.filter(post=made).update(state="done")
    return made


def suggest(row: Post, name: str, category: str = "character", score: float = 0.9, **evidence: object) -> Suggestion:
    return Suggestion.objects.create(
        post=row, name=name, category=category, score=score, source="model", model_version="m@1", evidence=evidence
    )


def page(client: Client, row: Post) -> str:
    answer = client.get(row.get_absolute_url())
    assert answer.status_code == 200
    return answer.content.decode()


def decide(client: Client, suggestion: Suggestion, verb: str) -> str:
    address = f"/posts/{suggestion.post_id}/suggestions/{suggestion.pk}"
    return client.post(address, {"verb": verb}, follow=True).content.decode()


def tags(row: Post) -> set[str]:
    return set(row.tags.values_list("name", flat=True))


def test_accepting_writes_the_tag_and_undo_takes_it_back(client: Client, row: Post) -> None:
    suggestion = suggest(row, "rei")
    assert 'value="accept"' in page(client, row)
    assert "Accepted by ann" in decide(client, suggestion, "accept")
    assert tags(row) == {"hat", "rei"}
    assert row.tags.get(name="rei").post_count == 1
    decision = suggestion.decisions.get()
    client.post(f"/posts/{row.pk}/decisions/{decision.pk}/undo")
    assert tags(row) == {"hat"}
    suggestion.refresh_from_db()
    assert suggestion.state == "suggested"
    assert AnalysisJob.objects.count() == 1


def test_rejecting_is_remembered(client: Client, row: Post) -> None:
    suggestion = suggest(row, "rei")
    assert "Rejected by ann" in decide(client, suggestion, "reject")
    assert tags(row) == {"hat"}


def test_a_rating_suggestion_changes_the_rating(client: Client, row: Post) -> None:
    text = decide(client, suggest(row, "q", "rating"), "accept")
    assert 'data-rating="q"' in text
    assert "q" not in tags(row)


def test_what_the_post_says_already_is_agreed_not_asked(client: Client, row: Post) -> None:
    suggest(row, "hat", "general")
    text = page(client, row)
    assert "The networks agree" in text
    assert 'value="accept"' not in text


def test_a_decision_that_came_too_late_says_so(client: Client, row: Post) -> None:
    suggestion = suggest(row, "rei")
    decide(client, suggestion, "reject")
    assert "rejected by now" in decide(client, suggestion, "accept")
    assert "Choose accept or reject" in decide(client, suggestion, "explode")


def test_only_the_uploader_and_moderators_decide(client: Client, row: Post) -> None:
    suggestion = suggest(row, "rei")
    client.force_login(uploader("bea"))
    assert 'value="accept"' not in page(client, row)
    assert "Only the uploader" in decide(client, suggestion, "accept")
    assert tags(row) == {"hat"}
    client.logout()
    assert "rei" not in page(client, row)
    assert client.post(f"/posts/{row.pk}/suggestions/{suggestion.pk}", {"verb": "accept"}).status_code == 302
    client.force_login(moderator())
    decide(client, suggestion, "accept")
    assert tags(row) == {"hat", "rei"}


def test_the_suggestions_appear_while_the_page_is_open(client: Client, row: Post) -> None:
    AnalysisJob.objects.update(state="running")
    assert 'data-poll="' in page(client, row)
    AnalysisJob.objects.update(state="done")
    suggest(row, "rei")
    part = client.get(f"/posts/{row.pk}/insight")
    text = part.content.decode()
    assert "rei" in text
    assert "data-poll" not in text
    assert "<html" not in text
    assert part["Cache-Control"] == "no-store"


@pytest.mark.parametrize("state", ["refused", "quarantined"])
def test_a_picture_that_cannot_be_analysed_says_why(client: Client, row: Post, state: str) -> None:
    AnalysisJob.objects.update(state=state, message="The file <b>ends</b> too early.")
    assert "The file &lt;b&gt;ends&lt;/b&gt; too early." in page(client, row)


def test_faces_are_drawn_with_the_names_they_got(client: Client, row: Post) -> None:
    box = {"x": 0.25, "y": 0.125, "width": 0.5, "height": 0.5, "score": 0.9}
    Vector.objects.create(post=row, kind="face", box=box, model_version="m@1", data=encode(np.ones(4, np.float32) / 2))
    suggest(row, "<i>rei</i>", box=[0.25, 0.125, 0.5, 0.5], kind="prototype", face=0)
    text = page(client, row)
    assert '<rect x="0.25000" y="0.12500" width="0.50000" height="0.50000"' in text
    assert 'data-name="&lt;i&gt;rei&lt;/i&gt;"' in text
    assert "<i>rei" not in text


def test_a_face_that_begins_where_another_does_has_its_own_name(client: Client, row: Post) -> None:
    for number, (name, side) in enumerate((("rei", 0.5), ("asuka", 0.25))):
        box = {"x": 0.25, "y": 0.25, "width": side, "height": side}
        Vector.objects.create(
            post=row, kind="face", number=number, box=box, model_version="m@1", data=encode(np.ones(4, np.float32) / 2)
        )
        suggest(row, name, score=0.9 - number / 10, box=list(box.values()), kind="prototype", face=number)
    text = page(client, row)
    assert [text.count(f'data-name="{name}"') for name in ("rei", "asuka")] == [1, 1]


def test_posts_that_look_alike_are_shown_but_no_deleted_ones(client: Client, row: Post, ann) -> None:
    others = [post(ann), post(ann, status="deleted"), post(ann)]
    for angle, item in zip((0.0, 0.1, 0.1, 1.5), (row, *others), strict=True):
        data = encode(np.array([np.cos(angle), np.sin(angle), 0, 0], np.float32))
        Vector.objects.create(post=item, kind="picture", model_version="m@1", data=data)
    text = client.get(f"/posts/{row.pk}/similar").content.decode()
    assert f'href="/posts/{others[0].pk}"' in text
    assert f'href="/posts/{others[1].pk}"' not in text
    assert f'href="/posts/{row.pk}"' not in text
    assert client.get(f"/posts/{post(ann).pk}/similar").status_code == 200


def test_teaching_enrols_the_picture(client: Client, row: Post) -> None:
    teacher = user("booru_embeddings.enrol_subject", name="tom")
    client.force_login(teacher)
    answer = client.post(f"/posts/{row.pk}/teach", {"name": "Rei A", "category": "character"}, follow=True)
    assert "rei_a is known by 1 picture now" in answer.content.decode()
    assert list(Support.objects.values_list("subject__name", "post_id")) == [("rei_a", row.pk)]
    for wrong in ({"name": "", "category": "character"}, {"name": "x", "category": "nobody"}):
        assert "message error" in client.post(f"/posts/{row.pk}/teach", wrong, follow=True).content.decode()
    client.force_login(uploader("bea"))
    assert client.post(f"/posts/{row.pk}/teach", {"name": "x", "category": "character"}).status_code == 403
    assert Subject.objects.count() == 1


def jpeg(width: int, height: int) -> bytes:
    target = io.BytesIO()
    Image.linear_gradient("L").resize((width, height)).convert("RGB").save(target, "JPEG")
    return target.getvalue()


def test_previews_are_made_once_small_and_guarded(client: Client, ann, media: Path) -> None:
    row = services.upload(uploader=ann, file=file(jpeg(900, 600)), rating="g")
    answer = client.get(row.preview_url)
    assert (answer.status_code, answer["Content-Type"]) == (200, "image/webp")
    with Image.open(io.BytesIO(b"".join(answer.streaming_content))) as small:
        assert small.size == (400, 267)
    (made,) = (media / "previews").rglob("*.webp")
    stamp = made.stat().st_mtime_ns
    assert client.get(row.preview_url, headers={"if-none-match": answer["ETag"]}).status_code == 304
    assert made.stat().st_mtime_ns == stamp


def test_what_cannot_be_read_has_a_stand_in(client: Client, ann) -> None:
    broken = services.upload(uploader=ann, file=file(png(30, 30)[:50]), rating="g")
    for _ in range(2):
        answer = client.get(broken.preview_url)
        assert (answer.status_code, answer.url) == (302, "/static/board/nopreview.svg")
    other = services.upload(uploader=ann, file=file(b"<svg/>"), rating="g")
    assert other.preview_url == other.picture.url
    assert client.get(f"/media/previews/{'0' * 64}.webp").status_code == 404
    broken.status = "deleted"
    broken.save()
    assert client.get(broken.preview_url).status_code == 404


def test_the_queue_shows_previews(ann) -> None:
    from booru_ml.host.loader import host

    row = post(ann)
    assert host().facts([row.pk])[row.pk].thumbnail_url == f"/media/previews/{row.sha256}.webp"


def test_moderators_find_their_rights_named_as_the_demo_gives_them(tmp_path: Path) -> None:
    from deploy.demo.launch import people

    uploads, moderates = people.log_ins(tmp_path / "log-ins.json")
    again = people.log_ins(tmp_path / "log-ins.json")
    assert again == (uploads, moderates)
    assert (tmp_path / "log-ins.json").stat().st_mode & 0o077 == 0
    client = Client()
    assert client.login(username="moderator", password=moderates.password)
    lists = ("booru_moderation/case/", "booru_moderation/decision/", "booru_embeddings/subject/", "booru_ml/worker/")
    for page in ("", *lists, "booru_embeddings/subject/add/", "booru_tagging/tagdecision/"):
        assert client.get(f"/admin/{page}").status_code == 200, page
    assert Permission.objects.filter(group__name="Moderators").count() == len(people.MODERATORS)
    assert client.get("/posts/new").status_code == 200
