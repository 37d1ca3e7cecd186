"""What status, metrics, readiness and the admin say of the queue; all of it comes from here."""

from __future__ import annotations

import json
import uuid
from datetime import timedelta
from io import StringIO

import pytest
from django.core.management import call_command
from django.db import connection
from django.db.models import Count
from django.db.models.functions import Now

from booru_ml import exposition
from booru_ml.models import AnalysisJob, Backfill
from booru_ml.pipeline import facts, leases
from tests.booru_ml.pipeline.fakes import VERSION

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("rings")]
State, Priority = AnalysisJob.State, AnalysisJob.Priority


def ago(**span: float):
    return Now() - timedelta(**span)


@pytest.fixture
def job(upload):
    def make(**values) -> AnalysisJob:
        rows = AnalysisJob.objects.filter(post=upload())
        rows.update(**values)
        return rows.get()

    return make


def running(**values) -> dict:
    fresh = {"lease_until": Now() + timedelta(seconds=50), "started_at": Now()}
    return {"state": State.RUNNING, "lease_token": uuid.uuid4(), "attempts": 1, **fresh, **values}


def metrics() -> str:
    exposition._last = (-1e9, [])
    return exposition.page()[0].decode()


def test_every_count_agrees_with_the_rows(job):
    for state in (State.QUEUED, State.QUEUED, State.RUNNING, State.DONE, State.REFUSED, State.QUARANTINED):
        job(**(running() if state == State.RUNNING else {"state": state, "code": "x" if state in FAILED else ""}))
    queue = facts.queue_facts()
    rows = AnalysisJob.objects.order_by().values_list("state").annotate(n=Count("pk"))
    assert queue.states == dict(rows)
    assert queue.unfinished == {(State.QUEUED, Priority.FRESH): 2, (State.RUNNING, Priority.FRESH): 1}
    assert queue.reasons == {(State.REFUSED, "x"): 1, (State.QUARANTINED, "x"): 1}


FAILED = (State.REFUSED, State.QUARANTINED)


def test_stuck_is_what_ought_to_have_moved(job):
    job(**running())
    lapsed = job(**running(lease_until=ago(seconds=5), started_at=ago(seconds=65)))
    slow = job(**running(started_at=ago(seconds=61)))
    overdue = job(ready_at=ago(seconds=121))
    job(ready_at=ago(seconds=60))
    job(ready_at=ago(hours=5), priority=Priority.BACKFILL)
    stuck = facts.queue_facts().stuck
    assert (stuck.lapsed, stuck.slow, stuck.overdue, stuck.total) == (1, 1, 1, 3)
    assert {row.pk for row in facts.stuck_jobs()} == {lapsed.pk, slow.pk, overdue.pk}
    for why in ("lapsed", "slow", "overdue"):
        assert f'booru_ml_jobs_stuck{{why="{why}"}} 1.0' in metrics()


def test_failed_attempt_is_told_before_the_job_is_given_up(job):
    job()
    (claimed,) = leases.claim(limit=1, version=VERSION)
    leases.fail(claimed, code="engine_failed", message="no")
    assert facts.queue_facts().retrying == {"engine_failed": 1}
    (group,) = facts.failure_groups(facts.queue_facts())
    assert (group.state, group.code, group.message) == (State.QUEUED, "engine_failed", "no")
    assert 'booru_ml_jobs_retried{code="engine_failed"} 1.0' in metrics()


def test_groups_show_their_latest_posts_given_up_first(job):
    for number in range(7):
        job(state=State.REFUSED, code="corrupt", message=f"{number}", finished_at=ago(minutes=10 - number))
    job(state=State.QUARANTINED, code="crashed", finished_at=ago(days=3))
    first, second = facts.failure_groups(facts.queue_facts())
    assert (first.code, first.count) == ("crashed", 1)
    assert (second.count, [row.message for row in second.samples]) == (7, ["6", "5", "4", "3", "2"])


def test_rate_is_the_last_minutes_and_says_when_all_is_done(job):
    for seconds in (5, 20, 50, 100, 200):
        job(state=State.DONE, finished_at=ago(seconds=seconds))
    job(), job()
    queue = facts.queue_facts()
    assert (queue.last_minute, queue.last_minutes, queue.per_minute) == (3, 5, 3.0)
    assert queue.eta_seconds == pytest.approx(40)


def test_no_rate_no_promise(job):
    assert facts.queue_facts().eta_seconds == 0
    job()
    assert facts.queue_facts().eta_seconds is None


def test_old_posts_that_wait_behind_others_are_no_fault(job):
    job(ready_at=ago(minutes=10), priority=Priority.BACKFILL)
    job(ready_at=ago(minutes=10), priority=Priority.HELD)
    job(state=State.DONE, finished_at=ago(seconds=30))
    assert facts.oldest_ready_seconds() == 0
    AnalysisJob.objects.filter(state=State.DONE).update(finished_at=ago(minutes=3))
    assert facts.oldest_ready_seconds() == pytest.approx(600, abs=2)


def test_lease_that_nobody_takes_over_counts_as_waiting(job):
    job(**running(lease_until=ago(seconds=200), started_at=ago(seconds=260)))
    assert facts.oldest_ready_seconds() == pytest.approx(200, abs=2)


def test_status_and_metrics_say_the_same(job):
    job(priority=Priority.BACKFILL)
    job(**running(lease_until=ago(seconds=5)))
    Backfill.objects.create(total=9, passed=4, queued=3, pipeline_version="x", state=Backfill.State.PAUSED)
    out = StringIO()
    call_command("booru_status", "--json", stdout=out)
    said = json.loads(out.getvalue())
    assert said["stuck"] == {"lapsed": 1, "slow": 0, "overdue": 0}
    assert (said["backfill"]["state"], said["backfill"]["goal"], said["backfill"]["reached"]) == ("paused", 9, 3)
    text = metrics()
    assert 'booru_ml_backfill{state="paused"} 1.0' in text
    assert 'booru_ml_backfill_posts{part="reached"} 3.0' in text
    out = StringIO()
    call_command("booru_status", stdout=out, no_color=True)
    assert "stuck: 1 lapsed" in out.getvalue()
    assert "paused: 3 of 9" in out.getvalue()


@pytest.mark.skipif(connection.vendor != "postgresql", reason="SQLite plans alike, and says it otherwise")
def test_every_question_is_answered_from_an_index(job, django_assert_max_num_queries):
    """With many rows no query of the queue may read the table from end to end."""
    post = job().post
    AnalysisJob.objects.bulk_create(
        AnalysisJob(
            post=post,
            content_key=f"k{number}",
            pipeline_version="x",
            state=[State.DONE, State.QUEUED, State.DONE, State.REFUSED][number % 4],
            code="corrupt" if number % 4 == 3 else "",
            finished_at=ago(days=1) if number % 4 != 1 else None,
        )
        for number in range(8000)
    )
    with connection.cursor() as cursor:
        cursor.execute("VACUUM ANALYZE booru_ml_analysisjob")

    with django_assert_max_num_queries(40) as seen:
        queue = facts.queue_facts()
        facts.failure_groups(queue), facts.stuck_jobs(), facts.held_uploaders(), facts.backfill_facts(queue)
    for query in seen.captured_queries:
        if "booru_ml_analysisjob" in query["sql"]:
            with connection.cursor() as cursor:
                cursor.execute("EXPLAIN " + query["sql"])
                plan = "\n".join(row[0] for row in cursor.fetchall())
            assert "Seq Scan on booru_ml_analysisjob" not in plan, plan
