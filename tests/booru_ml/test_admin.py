from __future__ import annotations

import pytest

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
