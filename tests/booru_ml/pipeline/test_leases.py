from __future__ import annotations

import threading
import time
import uuid
from collections import Counter
from datetime import timedelta

import pytest
from django.db import connection
from django.db.models.functions import Now

from booru_ml.conf import config
from booru_ml.models import AnalysisJob
from booru_ml.pipeline import leases
from booru_ml.pipeline.keeper import LeaseKeeper
from tests.booru_ml.pipeline.fakes import VERSION
from tests.threads import together

pytestmark = pytest.mark.django_db(transaction=True)
State = AnalysisJob.State


def add_jobs(post, count: int) -> None:
    AnalysisJob.objects.bulk_create(
        [
            AnalysisJob(post=post, content_key=f"{number}", pipeline_version=VERSION, ready_at=Now())
            for number in range(count)
        ]
    )


def test_many_workers_claim_disjoint_rows(upload):
    post = upload()
    AnalysisJob.objects.all().delete()
    add_jobs(post, 300)
    taken: list[int] = []

    def work() -> None:
        while jobs := leases.claim(limit=7, version=VERSION):
            taken.extend(job.pk for job in jobs)

    together(*[work] * 6)
    assert len(taken) == 300
    assert Counter(taken).most_common(1)[0][1] == 1
    assert set(AnalysisJob.objects.values_list("state", "attempts")) == {(State.RUNNING, 1)}


@pytest.mark.skipif(connection.vendor != "sqlite", reason="other databases keep statistics")
@pytest.mark.parametrize("statement", [leases._ready, lambda using, limit: leases._first(using, limit, "")])
def test_sqlite_reads_the_first_in_line_without_sorting_all_that_wait(statement):
    made = statement("default", 16)
    with connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN QUERY PLAN {made.sql}", made.params)
        plan = str(cursor.fetchall())
    assert "booru_ml_unfinished_jobs" in plan
    assert "ORDER BY" not in plan


def test_a_batch_holds_rows_of_one_priority_only(upload):
    post = upload()
    AnalysisJob.objects.all().delete()
    add_jobs(post, 9)
    AnalysisJob.objects.filter(content_key__in="3456").update(priority=AnalysisJob.Priority.BACKFILL)
    AnalysisJob.objects.filter(content_key__in="78").update(priority=AnalysisJob.Priority.RERUN)
    taken = [{job.content_key for job in leases.claim(limit=8, version=VERSION)} for _ in range(3)]
    assert taken == [set("012"), set("78"), set("3456")]


def test_where_little_waits_every_worker_finds_its_share(upload):
    post = upload()
    AnalysisJob.objects.all().delete()
    add_jobs(post, 22)
    shares = iter(lambda: len(leases.claim(limit=8, version=VERSION, peers=2)), 0)
    assert list(shares) == [8, 7, 4, 2, 1]


def test_attempt_and_lease_are_committed_before_the_rows_are_returned(upload):
    upload()
    (job,) = leases.claim(limit=5, version=VERSION)
    row = AnalysisJob.objects.annotate(now=Now()).get()
    assert (row.state, row.attempts, row.lease_token) == (State.RUNNING, 1, job.lease_token)
    lease = timedelta(seconds=config().LEASE_SECONDS)
    assert lease - timedelta(seconds=10) < row.lease_until - row.now <= lease
    assert not connection.in_atomic_block


def test_keeper_renews_while_work_goes_on(upload, settings):
    settings.BOORU_ML = {**settings.BOORU_ML, "LEASE_SECONDS": 0.6}
    upload()
    (job,) = leases.claim(limit=1, version=VERSION)
    with LeaseKeeper() as keeper:
        keeper.keep(job.lease_token)
        time.sleep(1.5)
        assert leases.claim(limit=1, version=VERSION) == []
        keeper.drop(job.lease_token)
        time.sleep(1)
    assert [again.pk for again in leases.claim(limit=1, version=VERSION)] == [job.pk]


def test_batch_that_never_ends_is_left_to_others_and_its_worker_told(upload, settings, monkeypatch):
    settings.BOORU_ML = {**settings.BOORU_ML, "LEASE_SECONDS": 0.3}
    monkeypatch.setattr("booru_ml.pipeline.keeper.PATIENCE", 3)
    upload()
    (job,) = leases.claim(limit=1, version=VERSION)
    told = threading.Event()
    with LeaseKeeper(told.set) as keeper:
        keeper.keep(job.lease_token)
        time.sleep(0.5)
        assert not told.is_set()
        assert told.wait(10)
        time.sleep(0.5)
        assert [again.pk for again in leases.claim(limit=1, version=VERSION)] == [job.pk]


def test_nothing_is_written_under_a_lease_that_is_lost(upload):
    upload()
    (job,) = leases.claim(limit=1, version=VERSION)
    AnalysisJob.objects.update(lease_token=uuid.uuid4())
    leases.give_back([job])
    leases.fail(job, code="x", message="x")
    assert leases.hold([job]) == set()
    assert leases.renew([job.lease_token]) == 0
    assert AnalysisJob.objects.get().state == State.RUNNING


def test_failed_rows_wait_longer_each_time_then_are_given_up(upload):
    upload()
    waits = []
    for _ in range(3):
        AnalysisJob.objects.update(ready_at=Now() - timedelta(seconds=1))
        (job,) = leases.claim(limit=1, version=VERSION)
        leases.fail(job, code="engine_failed", message="no")
        row = AnalysisJob.objects.annotate(now=Now()).get()
        waits.append(round((row.ready_at - row.now).total_seconds()))
    assert waits[:2] == [10, 60]
    assert (row.state, row.code) == (State.QUARANTINED, "engine_failed")
    assert "after 3 attempts" in row.message


def test_suspects_do_not_hold_up_fresh_rows_of_higher_priority(upload):
    suspect, fresh = upload(), upload()
    AnalysisJob.objects.filter(post=suspect).update(attempts=1, priority=AnalysisJob.Priority.RERUN)
    assert [job.post_id for job in leases.claim(limit=5, version=VERSION)] == [fresh.pk]
    assert leases.claim(limit=5, version=VERSION, suspects=False) == []
    assert [job.post_id for job in leases.claim(limit=5, version=VERSION)] == [suspect.pk]


def test_row_that_is_due_soon_is_known(upload):
    upload()
    AnalysisJob.objects.update(ready_at=Now() + timedelta(seconds=1))
    assert leases.soonest(within=0.1) is None
    assert 0.5 < leases.soonest(within=5) <= 1.01
