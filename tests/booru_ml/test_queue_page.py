from __future__ import annotations

import pytest
from django.db import connection
from django.db.models.functions import Now
from django.test import Client
from django.test.utils import CaptureQueriesContext

from booru_ml.models import AnalysisJob, Backfill, Worker
from tests.people import client_of, staff_client, user

pytestmark = pytest.mark.django_db
State = AnalysisJob.State
PAGE = "/admin/booru_ml/queue/"


@pytest.fixture
def keeper() -> Client:
    return staff_client("booru_ml.view_analysisjob", "booru_ml.change_analysisjob")


@pytest.fixture
def fail(upload):
    def make(count: int, code: str, *, state: str = State.QUARANTINED, message: str = "It broke.") -> list[int]:
        posts = [upload() for _ in range(count)]
        jobs = AnalysisJob.objects.filter(post__in=posts)
        jobs.update(state=state, code=code, message=message, finished_at=Now(), attempts=3)
        return list(jobs.values_list("pk", flat=True))

    return make


def states() -> dict[str, int]:
    rows = list(AnalysisJob.objects.values_list("state", flat=True))
    return {state: rows.count(state) for state in set(rows)}


def test_page_shows_failures_by_code_and_trusts_no_text(fail, keeper):
    fail(3, "crashed")
    fail(2, "corrupt", state=State.REFUSED, message="<script>alert(1)</script>")
    Worker.objects.create(name="here:1", fault="<b>CheckpointError</b>")
    page = keeper.get(PAGE).content.decode()
    for text in ("crashed", "Run 3 again…", "corrupt", "Run 2 again…", "Every worker has a fault", "It broke."):
        assert text in page
    for hostile in ("<script>alert(1)", "<b>CheckpointError"):
        assert hostile not in page


def test_page_runs_under_a_strict_policy(fail, keeper):
    fail(1, "crashed")
    page = keeper.get(PAGE).content.decode()
    content = page[page.index('id="content-main"') :]
    assert "style=" not in content
    assert "<script>" not in page
    assert " onclick" not in page


def test_what_waits_stands_in_the_order_it_is_taken(upload, keeper):
    upload(), upload()
    AnalysisJob.objects.filter(pk=AnalysisJob.objects.first().pk).update(priority=AnalysisJob.Priority.HELD)
    page = keeper.get(PAGE).content.decode()
    places = [page.index(label) for label in ("Fresh uploads", "Held uploads", "Run again", "Old posts")]
    assert places == sorted(places)
    assert "Uploaders beyond their share" in page
    assert "uploader" in page


def test_group_runs_again_after_it_was_confirmed(fail, keeper):
    fail(3, "crashed")
    fail(2, "engine_failed")
    group = {"state": "quarantined", "code": "crashed"}
    asked = keeper.post(f"{PAGE}rerun/", group).content.decode()
    assert "Run 3 jobs again?" in asked
    assert states() == {State.QUARANTINED: 5}
    done = keeper.post(f"{PAGE}rerun/", {**group, "confirm": "yes"}, follow=True).content.decode()
    assert "3 jobs run again." in done
    assert states() == {State.QUARANTINED: 2, State.QUEUED: 3}
    rerun = AnalysisJob.objects.filter(state=State.QUEUED).values_list("priority", "attempts", "code")
    assert set(rerun) == {(AnalysisJob.Priority.RERUN, 0, "")}


def test_one_or_all_run_again(fail, keeper):
    crashed = fail(2, "crashed")
    fail(2, "corrupt", state=State.REFUSED)
    keeper.post(f"{PAGE}rerun/", {"job": crashed[0], "confirm": "yes"})
    assert states() == {State.QUARANTINED: 1, State.REFUSED: 2, State.QUEUED: 1}
    keeper.post(f"{PAGE}rerun/", {"state": "quarantined", "confirm": "yes"})
    keeper.post(f"{PAGE}rerun/", {"state": "refused", "confirm": "yes"})
    assert states() == {State.QUEUED: 4}
    again = keeper.post(f"{PAGE}rerun/", {"job": crashed[0], "confirm": "yes"}, follow=True).content.decode()
    assert "0 jobs run again." in again


@pytest.mark.parametrize("wish", [{}, {"state": "done"}, {"state": "queued"}, {"job": "1 OR 1"}, {"job": "9" * 30}])
def test_damaged_wishes_change_nothing(fail, keeper, wish):
    fail(1, "crashed")
    answer = keeper.post(f"{PAGE}rerun/", {**wish, "confirm": "yes"}, follow=True)
    assert answer.status_code == 200
    assert states() == {State.QUARANTINED: 1}


def test_rights_are_asked_for(fail):
    fail(1, "crashed")
    Backfill.objects.create(total=1, pipeline_version="x")
    nobody, viewer = staff_client(), staff_client("booru_ml.view_analysisjob")
    assert nobody.get(PAGE).status_code == 403
    assert "Run it again" not in viewer.get(PAGE).content.decode()
    for client in (nobody, viewer):
        assert client.post(f"{PAGE}rerun/", {"state": "quarantined", "confirm": "yes"}).status_code == 403
        assert client.post(f"{PAGE}backfill/", {"verb": "pause"}).status_code == 403
    assert Client().get(PAGE).status_code == 302
    assert states() == {State.QUARANTINED: 1}
    assert Backfill.objects.get().state == "running"


def test_verbs_take_post_alone_and_a_token(fail, keeper):
    fail(1, "crashed")
    for verb in ("rerun/", "backfill/"):
        assert keeper.get(PAGE + verb, {"state": "quarantined", "confirm": "yes"}).status_code == 405
    strict = client_of(user(is_staff=True, is_superuser=True), enforce_csrf_checks=True)
    assert strict.post(f"{PAGE}rerun/", {"state": "quarantined", "confirm": "yes"}).status_code == 403
    assert states() == {State.QUARANTINED: 1}


def test_backfill_is_paused_gone_on_with_and_ended(keeper):
    Backfill.objects.create(total=200, passed=50, queued=50, pipeline_version="net@1", fault="<i>away</i>")
    page = keeper.get(PAGE).content.decode()
    assert "25 %" in page
    assert "&lt;i&gt;away" in page
    for verb, state in (("pause", "paused"), ("resume", "running"), ("cancel", "cancelled")):
        keeper.post(f"{PAGE}backfill/", {"verb": verb})
        assert Backfill.objects.get().state == state
    answer = keeper.post(f"{PAGE}backfill/", {"verb": "resume"}, follow=True).content.decode()
    assert "There is no backfill under way" in answer
    keeper.post(f"{PAGE}backfill/", {"verb": "drop"})


def test_page_costs_the_same_however_many_failed(fail, keeper):
    fail(2, "crashed")
    keeper.get(PAGE)
    with CaptureQueriesContext(connection) as few:
        keeper.get(PAGE)
    fail(40, "crashed")
    with CaptureQueriesContext(connection) as many:
        keeper.get(PAGE)
    assert len(few) == len(many)


def test_list_of_jobs_filters_by_code_without_reading_all_of_them(fail, keeper):
    fail(1, "crashed")
    fail(1, "corrupt", state=State.REFUSED)
    page = keeper.get("/admin/booru_ml/analysisjob/", {"code": "corrupt"}).content.decode()
    assert "?code=crashed" in page
    assert "1 analysis job" in page
    assert PAGE in page
