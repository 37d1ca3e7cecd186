from __future__ import annotations

from pathlib import Path

import pytest
from django.test import Client

from booru_ml import registry
from booru_ml.checkpoint import pin
from booru_ml.models import Backfill, Promotion
from tests.people import staff_client

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("promotions")]


@pytest.fixture
def keeper() -> Client:
    return staff_client("booru_ml.view_modelversion", "booru_ml.view_promotion", "booru_ml.promote_modelversion")


def page(row) -> str:
    return f"/admin/booru_ml/modelversion/{row.pk}/"


def test_a_model_shows_its_card_as_text_and_what_it_can_do(candidate, keeper):
    row = candidate()
    (Path(row.folder) / "card.md").write_text("| licence | <script>alert(1)</script> |")
    pin(row.folder)
    said = keeper.get(page(row) + "change/").content.decode()
    assert "&lt;script&gt;alert(1)" in said
    assert "<script>alert(1)" not in said
    for task in ("nsfw", "rating", "medium"):
        assert f'value="{task}"' in said


def test_promoted_and_rolled_back_by_button_with_who_and_why(candidate, keeper):
    row, before = candidate(), registry.pipeline_version()
    said = keeper.post(page(row) + "promote/", {"task": ["rating"], "note": "milder", "reanalyse": "on"}, follow=True)
    assert "Workers go over" in said.content.decode()
    made = Promotion.objects.get()
    assert (made.tasks, made.note, made.actor.username) == (
        ["rating"],
        "milder",
        keeper.get("/admin/").wsgi_request.user.username,
    )
    assert Backfill.objects.exists()
    assert "rating" in keeper.get("/admin/booru_ml/modelversion/").content.decode()
    assert "Roll back" in keeper.get(page(row) + "change/").content.decode()
    keeper.post("/admin/booru_ml/modelversion/rollback/", {"note": "worse"})
    assert registry.pipeline_version() == before
    history = keeper.get("/admin/booru_ml/promotion/").content.decode()
    assert "milder" in history
    assert "worse" in history


def test_a_damaged_model_is_refused_with_its_reason(candidate, keeper):
    row = candidate()
    (Path(row.folder) / "labels.csv").write_text("head,name,category\n")
    said = keeper.post(page(row) + "promote/", follow=True).content.decode()
    assert "differs from its sum" in said
    assert not Promotion.objects.exists()


def test_only_who_may_promote_can(candidate):
    row = candidate()
    watcher = staff_client("booru_ml.view_modelversion")
    said = watcher.get(page(row) + "change/")
    assert said.status_code == 200
    assert "Promote</button>" not in said.content.decode()
    assert watcher.post(page(row) + "promote/").status_code == 403
    assert watcher.post("/admin/booru_ml/modelversion/rollback/").status_code == 403
    assert staff_client("booru_ml.promote_modelversion").get(page(row) + "promote/").status_code == 405
    assert staff_client().get(page(row) + "change/").status_code == 403
    assert not Promotion.objects.exists()
