from __future__ import annotations

import pytest
from django.test import Client

from booru_ml.models import AnalysisJob
from tests.people import client_of, user

pytestmark = pytest.mark.django_db
State = AnalysisJob.State
JOBS = "/booru/api/jobs/"


@pytest.fixture
def keeper():
    return user("booru_ml.view_analysisjob", "booru_ml.change_analysisjob")


def test_keeper_lists_and_filters_jobs(upload, keeper):
    first, second = upload(), upload()
    AnalysisJob.objects.filter(post=first).update(state=State.QUARANTINED, code="crashed", message="at /srv/x")
    client = client_of(keeper)
    assert [job["post"] for job in client.get(JOBS).json()["results"]] == [second.pk, first.pk]
    failed = client.get(JOBS, {"state": "quarantined"}).json()["results"]
    assert [(job["post"], job["code"], job["message"]) for job in failed] == [(first.pk, "crashed", "at /srv/x")]
    assert [job["priority"] for job in client.get(JOBS, {"priority": "fresh"}).json()["results"]] == ["fresh"] * 2
    assert client.get(JOBS, {"priority": "high"}).status_code == 400
    assert client.get(JOBS, {"colour": "red"}).status_code == 400


def test_uploader_sees_the_jobs_of_the_own_post_without_inner_messages(upload):
    post = upload()
    AnalysisJob.objects.update(code="storage", message="/srv/secret is away")
    client = client_of(post.uploader)
    assert client.get(JOBS).status_code == 403
    (job,) = client.get(JOBS, {"post": post.pk}).json()["results"]
    assert (job["code"], job["message"]) == ("storage", "")
    AnalysisJob.objects.update(state=State.REFUSED, code="corrupt", message="This is no picture.")
    (job,) = client.get(JOBS, {"post": post.pk}).json()["results"]
    assert job["message"] == "This is no picture."


def test_strangers_see_nothing(upload):
    post = upload()
    assert Client().get(JOBS).status_code == 401
    stranger = client_of(user())
    assert stranger.get(JOBS, {"post": post.pk}).status_code == 403
    assert stranger.post(f"{JOBS}{AnalysisJob.objects.get().pk}/rerun/").status_code == 403


def test_rerun_queues_a_finished_job_once(upload, keeper):
    upload()
    AnalysisJob.objects.update(state=State.QUARANTINED, attempts=3, code="crashed")
    address = f"{JOBS}{AnalysisJob.objects.get().pk}/rerun/"
    client = client_of(keeper)
    answer = client.post(address, content_type="application/json")
    assert answer.status_code == 200
    assert (answer.json()["state"], answer.json()["priority"], answer.json()["attempts"]) == ("queued", "rerun", 0)
    again = client.post(address, content_type="application/json")
    assert (again.status_code, again.json()["code"]) == (409, "stale_state")
    assert client.post(f"{JOBS}999999/rerun/", content_type="application/json").status_code == 404
