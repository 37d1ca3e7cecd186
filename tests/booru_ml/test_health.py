from __future__ import annotations

import pytest
from django.contrib.auth import get_user_model
from django.db import OperationalError
from django.test import Client

from booru_ml import exposition, health
from booru_ml.errors import CheckpointError
from booru_ml.models import AnalysisJob, Worker

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def nothing_remembered(monkeypatch):
    monkeypatch.setattr(health, "_migrated", False)
    monkeypatch.setattr(exposition, "_last", (-1e9, []))
    monkeypatch.setattr("booru_ml.registry.pipeline_version", lambda: "fake@1")


def ready(query: str = "") -> tuple[int, str, dict]:
    answer = Client().get(f"/booru/readyz{query}")
    return answer.status_code, answer.json()["status"], answer.json()["checks"]


def test_healthz_answers():
    assert Client().get("/booru/healthz").json() == {"status": "ok"}
    assert Client().post("/booru/healthz").status_code == 405


def test_web_process_is_ready_without_broker_and_workers():
    status, word, checks = ready()
    assert (status, word) == (200, "degraded")
    assert checks == {
        "database": True,
        "migrations": True,
        "checkpoints": True,
        "broker": False,
        "workers": False,
        "models": True,
    }


def test_everything_well_is_ok(monkeypatch):
    monkeypatch.setattr("booru_ml.pipeline.doorbell.check", lambda: None)
    Worker.objects.create(name="host:1")
    assert ready()[:2] == (200, "ok")
    assert ready("?worker=1")[:2] == (200, "ok")


def test_unreadable_checkpoints_degrade_and_fail_only_the_watch_on_workers(monkeypatch):
    def gone():
        raise CheckpointError("gone")

    Worker.objects.create(name="host:1")
    monkeypatch.setattr("booru_ml.registry.pipeline_version", gone)
    assert ready()[:2] == (200, "degraded")
    assert ready("?worker=1")[:2] == (503, "unavailable")


def test_worker_with_a_fault_turns_the_watch_red():
    Worker.objects.create(name="host:1", fault="CheckpointError: gone")
    assert ready("?worker=1")[0] == 503


def test_lost_database_is_not_ready(monkeypatch):
    def away():
        raise OperationalError("away")

    monkeypatch.setattr(health, "_database", away)
    assert ready()[:2] == (503, "unavailable")


def test_metrics_are_for_staff_and_token_bearers(settings):
    assert Client().get("/booru/metrics").status_code == 403
    settings.BOORU_ML = {**settings.BOORU_ML, "METRICS_TOKEN": "s3cret"}
    assert Client().get("/booru/metrics", headers={"Authorization": "Bearer wrong"}).status_code == 403
    assert Client().get("/booru/metrics", headers={"Authorization": "Bearer s3cret"}).status_code == 200
    staff = Client()
    staff.force_login(get_user_model().objects.create_user("staff", is_staff=True))
    assert staff.get("/booru/metrics").status_code == 200


def test_metrics_tell_the_queue(upload, settings):
    upload()
    settings.BOORU_ML = {**settings.BOORU_ML, "METRICS_TOKEN": "t"}
    AnalysisJob.objects.update(state="done", timings={"decode": 0.02, "infer": 0.01, "batch": 3})
    upload()
    text = Client().get("/booru/metrics", headers={"Authorization": "Bearer t"}).content.decode()
    for line in (
        'booru_ml_jobs{state="done"} 1.0',
        'booru_ml_jobs_unfinished{priority="fresh",state="queued"} 1.0',
        'booru_ml_stage_seconds{quantile="0.5",stage="decode"} 0.02',
        'booru_ml_batch_size{quantile="0.5"} 3.0',
        "booru_ml_workers 0.0",
        "booru_ml_hook_errors_total",
        "booru_ml_doorbell_failures_total",
    ):
        assert line in text
