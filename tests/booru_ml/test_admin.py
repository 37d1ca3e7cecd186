from __future__ import annotations

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from booru_ml import registry
from booru_ml.admin import read_only
from booru_ml.models import AnalysisJob, Backfill, ModelVersion, Worker
from tests.people import client_of, user

pytestmark = pytest.mark.django_db
JOBS = "/admin/booru_ml/analysisjob/"


@pytest.fixture
def client():
    return client_of(user(is_staff=True, is_superuser=True))


def test_list_shows_why_a_job_failed_without_trusting_the_text(upload, client):
    upload()
    AnalysisJob.objects.update(state="quarantined", code="sink_failed", message="<script>alert(1)</script>")
    page = client.get(JOBS, {"state__exact": "quarantined"}).content.decode()
    assert "sink_failed" in page
    assert "<script>alert(1)" not in page


def test_a_job_is_found_by_its_number_its_post_its_file_and_its_reason(upload, client):
    sought, other = upload(), upload()
    AnalysisJob.objects.filter(post=sought).update(id=70, sha256="ab" * 32, code="corrupt")
    AnalysisJob.objects.filter(post=other).update(id=71, sha256="cd" * 32)
    for term in ("70", str(sought.pk), "AB" * 32, " corrupt "):
        found = client.get(JOBS, {"q": term}).context["cl"].result_list
        assert [job.post_id for job in found] == [sought.pk], term
    assert not client.get(JOBS, {"q": "9" * 30}).context["cl"].result_list


@pytest.mark.skipif(connection.vendor != "sqlite", reason="without statistics a plan is known of SQLite alone")
def test_a_number_is_looked_up_by_the_indexes_of_the_keys(upload, client):
    with CaptureQueriesContext(connection) as asked:
        client.get(JOBS, {"q": "7"})
    plans = []
    with connection.cursor() as cursor:
        for question in asked.captured_queries:
            if '"booru_ml_analysisjob"."id" = 7' in question["sql"]:
                cursor.execute(f"EXPLAIN QUERY PLAN {question['sql']}")
                plans += [line for *_, line in cursor.fetchall()]
    assert plans
    assert not [line for line in plans if line.startswith("SCAN booru_ml")]


def test_a_long_list_is_counted_to_a_bound(upload, client, monkeypatch):
    for _ in range(5):
        upload()
    assert "5 analysis jobs" in client.get(JOBS).content.decode()
    monkeypatch.setattr(read_only, "COUNTED", 3)
    with CaptureQueriesContext(connection) as asked:
        page = client.get(JOBS).content.decode()
    assert "3+ analysis jobs" in page
    counts = [question["sql"] for question in asked if "COUNT(*)" in question["sql"]]
    assert counts
    assert all("LIMIT 4" in sql for sql in counts)


def test_what_is_in_force_is_read_once_for_all_models(client, monkeypatch):
    asked = []
    monkeypatch.setattr(registry, "look", lambda: asked.append(1) or registry.Selection())
    registry.forget()
    for number in range(5):
        ModelVersion.objects.create(name="lite0", version=f"lite0@{number}", sha256=f"{number:064}")
    assert client.get("/admin/booru_ml/modelversion/").status_code == 200
    assert len(asked) == 1


def test_run_again_takes_finished_jobs(upload, client):
    upload(), upload()
    jobs = list(AnalysisJob.objects.values_list("pk", flat=True))
    AnalysisJob.objects.filter(pk=jobs[0]).update(state="refused", code="corrupt")
    answer = client.post(JOBS, {"action": "run_again", "_selected_action": jobs}, follow=True)
    assert "1 job runs again. 1 were waiting or running already." in answer.content.decode()
    assert set(AnalysisJob.objects.values_list("state", flat=True)) == {"queued"}


def test_rows_of_the_pipeline_are_for_reading(upload, client):
    upload()
    ModelVersion.objects.create(name="lite0", version="lite0@1", sha256="0" * 64)
    Worker.objects.create(name="host:1")
    Backfill.objects.create(total=1, pipeline_version="lite0@1")
    for name in ("analysisjob", "backfill", "modelversion", "worker"):
        assert client.get(f"/admin/booru_ml/{name}/").status_code == 200
        assert client.get(f"/admin/booru_ml/{name}/add/").status_code == 403
