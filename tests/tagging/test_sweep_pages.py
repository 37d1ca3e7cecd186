"""The dry run before anything is written, and the search that follows from it."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from embeddings import services as embeddings
from embeddings.models import Change, Subject
from embeddings.types import SupportRef
from tagging import sweeper
from tagging.models import Suggestion, Sweep
from tests.embeddings.conftest import encoder, fresh_process  # noqa: F401
from tests.embeddings.factories import Artist, seen
from tests.people import client_of, user

pytestmark = pytest.mark.django_db
PREVIEW = reverse("admin:booru_tagging_sweep_preview")
BEGIN = reverse("admin:booru_tagging_sweep_begin")
LIST = reverse("admin:booru_tagging_sweep_changelist")
API = "/booru/api/"
ENROL = "booru_embeddings.enrol_subject"


def client(*permissions: str) -> Client:
    return client_of(user(*permissions, is_staff=True))


@pytest.fixture
def staff() -> Client:
    return client(ENROL)


@pytest.fixture
def board() -> dict[str, Any]:
    draw = Artist(seed=5)
    look = draw.character()
    for _ in range(6):
        seen(draw.picture())
    return {
        "examples": [seen(draw.picture(look)).pk for _ in range(4)],
        "old": [seen(draw.picture(look)).pk for _ in range(5)],
    }


def wish(board: dict[str, Any], **others: Any) -> dict[str, Any]:
    return {"name": "hatsune miku", "category": "character", "show": " ".join(map(str, board["examples"]))} | others


def test_what_would_be_found_is_shown_and_nothing_written(staff, board):
    shown = staff.post(PREVIEW, wish(board))
    page = shown.content.decode()
    assert shown.status_code == 200
    assert {view.hit.post_id for view in shown.context["named"]} == set(board["old"])
    assert page.count("data-probability") >= 5
    assert "All 11 other analysed posts were compared" in page
    assert not Subject.objects.exists()
    assert not Sweep.objects.exists()


def test_saving_enrols_and_orders_the_search_with_the_bar_that_was_set(staff, board):
    answer = staff.post(BEGIN, wish(board, threshold="80", wrong=str(board["old"][0])), follow=True)
    assert "looked for on all 15 posts" in answer.content.decode()
    miku = Subject.objects.get(name="hatsune_miku")
    assert miku.supports.filter(positive=False).get().post_id == board["old"][0]
    order = Sweep.objects.get()
    assert (order.threshold, order.subject_id, order.actor is not None) == (0.8, miku.pk, True)
    while sweeper.advance():
        pass
    assert min(Suggestion.objects.values_list("score", flat=True)) >= 0.8
    assert not Suggestion.objects.filter(post_id=board["old"][0]).exists()
    page = staff.get(LIST).content.decode()
    assert "<progress" in page
    staff.post(LIST, {"action": "undo", "_selected_action": [order.pk]})
    while sweeper.advance():
        pass
    assert not Suggestion.objects.exists()


def test_a_wish_that_fails_half_way_writes_nothing(staff, board):
    miku = embeddings.enrol(name="miku", posts=[SupportRef(board["examples"][0])], actor=None)
    before = Change.objects.count()
    fields = {"subject": miku.pk, "show": str(board["examples"][1]), "without": "404404"}
    assert "gone already" in staff.post(BEGIN, fields, follow=True).content.decode()
    fields = {"subject": miku.pk, "show": str(board["examples"][1]), "threshold": "10"}
    assert "threshold" in staff.post(BEGIN, fields, follow=True).content.decode()
    assert Change.objects.count() == before
    assert not Sweep.objects.exists()


def test_a_known_one_is_tried_by_its_link(staff, board):
    miku = embeddings.enrol(
        name="miku", posts=[SupportRef(key) for key in board["examples"]], actor=None, enabled=False
    )
    assert len(staff.get(f"{PREVIEW}?subject={miku.pk}").context["named"]) == 5
    staff.post(BEGIN, {"subject": miku.pk})
    miku.refresh_from_db()
    assert miku.enabled


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"name": "miku"},
        {"name": "miku", "show": "x"},
        {"name": "miku", "show": "404404"},
        {"name": "a,b", "show": "1"},
        {"subject": "404404"},
        {"subject": "1 or 1=1"},
        {"subject": "9" * 30},
        {"name": "miku", "show": "1 " * 201},
        {"name": "miku", "show": "1", "without": "-1"},
    ],
)
def test_unusable_wishes_are_told_not_thrown(staff, fields):
    for address in (PREVIEW, BEGIN):
        answer = staff.post(address, fields, follow=True)
        assert answer.status_code == 200
        assert 'class="error"' in answer.content.decode()


def test_dry_runs_and_searches_take_the_right_to_enrol(board):
    outsider = client("booru_tagging.decide_suggestion")
    assert outsider.post(PREVIEW, wish(board)).status_code == 403
    assert outsider.post(BEGIN, wish(board)).status_code == 403
    assert outsider.get(LIST).status_code == 403
    assert outsider.get(f"{API}sweeps/").status_code == 403
    assert outsider.post(f"{API}characters/1/sweep/", {}, content_type="application/json").status_code == 403


def test_the_api_orders_watches_and_takes_back(staff, board):
    miku = embeddings.enrol(name="miku", posts=[SupportRef(key) for key in board["examples"]], actor=None)
    address = f"{API}characters/{miku.pk}/sweep/"
    made = staff.post(address, {"threshold": 0.6}, content_type="application/json")
    assert made.status_code == 201, made.content
    order = made.json()
    assert (order["state"], order["threshold"], order["total"]) == ("running", 0.6, 15)
    again = staff.post(address, {}, content_type="application/json")
    assert (again.status_code, again.json()["code"]) == (409, "under_way")
    for verb, state in (("pause", "paused"), ("resume", "running"), ("cancel", "cancelled"), ("undo", "undoing")):
        answer = staff.post(f"{API}sweeps/{order['id']}/{verb}/", {}, content_type="application/json")
        assert answer.json()["state"] == state, answer.content
    while sweeper.advance():
        pass
    assert staff.get(f"{API}sweeps/{order['id']}/").json()["state"] == "undone"
    assert staff.get(f"{API}sweeps/").json()["results"][0]["id"] == order["id"]
    assert staff.get(f"{API}sweeps/404404/").status_code == 404
    for wrong in (0.1, 2, "x"):
        assert staff.post(address, {"threshold": wrong}, content_type="application/json").status_code == 400
