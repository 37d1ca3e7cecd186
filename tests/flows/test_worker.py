"""Uploads, a real broker, real worker processes: everything is analysed exactly once, whatever dies."""

from __future__ import annotations

import os
import signal
import time

import psutil
import pytest
import redis

from booru_ml.models import AnalysisJob, Worker
from booru_ml.pipeline import doorbell
from tests.flows.conftest import all_finished, ledger, wait_for
from tests.flows.worker_app import BLUE, RED
from tests.servers import EmbeddedRedis

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.redis]
State = AnalysisJob.State


@pytest.fixture
def broker(settings, redis_url):
    redis.Redis.from_url(redis_url).flushall()
    settings.BOORU_ML = {**settings.BOORU_ML, "BROKER_URL": redis_url}
    return redis_url


@pytest.fixture
def workers(start_workers, broker):
    return start_workers(broker)


def each_stored_once(count: int) -> bool:
    stored = ledger()
    return len(stored) == len(set(stored)) == count


def celery_is_up() -> bool:
    return Worker.objects.alive().exists()


def test_uploads_are_analysed_exactly_once(workers, upload):
    workers.celery(processes=2)
    for _ in range(40):
        upload()
    wait_for(all_finished)
    assert each_stored_once(40)
    assert set(AnalysisJob.objects.values_list("state", "attempts")) == {(State.DONE, 1)}
    upload()
    assert wait_for(all_finished) < 1.5


def test_doubled_and_lost_doorbells_change_nothing(workers, upload, monkeypatch):
    workers.celery(processes=2)
    upload()
    wait_for(all_finished)
    with monkeypatch.context() as patch:
        patch.setattr("booru_ml.pipeline.doorbell.ring", lambda: None)
        for _ in range(5):
            upload()
    wait_for(all_finished)
    for _ in range(30):
        doorbell.ring()
        time.sleep(0.06)
    assert each_stored_once(6)


def test_flushed_broker_loses_nothing(workers, upload, broker):
    for _ in range(20):
        upload()
    time.sleep(0.3)
    redis.Redis.from_url(broker).flushall()
    workers.celery()
    wait_for(all_finished)
    redis.Redis.from_url(broker).flushall()
    upload()
    wait_for(all_finished)
    assert each_stored_once(21)


def test_killed_worker_loses_and_doubles_nothing(workers, upload):
    for _ in range(30):
        upload(BLUE)
    first = workers.celery(processes=2)
    wait_for(lambda: AnalysisJob.objects.filter(state=State.RUNNING).exists())
    time.sleep(0.3)
    os.killpg(first.pid, signal.SIGKILL)
    first.wait()
    assert AnalysisJob.objects.unfinished().exists()
    workers.celery(processes=2)
    wait_for(all_finished, seconds=60)
    assert each_stored_once(30)


def test_killed_child_is_replaced_and_its_rows_come_back(workers, upload):
    for _ in range(20):
        upload(BLUE)
    workers.celery(processes=1)
    wait_for(lambda: AnalysisJob.objects.filter(state=State.RUNNING).exists())
    name = Worker.objects.alive().values_list("name", flat=True)[0]
    os.kill(int(name.rsplit(":", 1)[1]), signal.SIGKILL)
    wait_for(all_finished, seconds=60)
    assert each_stored_once(20)


def test_picture_that_kills_its_worker_is_quarantined_and_the_others_are_done(workers, upload):
    posts = [upload(), upload(), upload(RED), upload(), upload()]
    workers.celery(processes=1)
    wait_for(all_finished, seconds=60)
    poison = AnalysisJob.objects.get(post=posts[2])
    assert (poison.state, poison.attempts, poison.code) == (State.QUARANTINED, 3, "crashed")
    assert AnalysisJob.objects.filter(state=State.DONE).count() == 4
    assert each_stored_once(4)


def test_stopping_celery_finishes_or_returns_its_batch(workers, upload):
    for _ in range(60):
        upload(BLUE)
    process = workers.celery(processes=2)
    wait_for(lambda: AnalysisJob.objects.filter(state=State.RUNNING).exists())
    begun = time.monotonic()
    process.send_signal(signal.SIGTERM)
    process.wait(timeout=12)
    assert time.monotonic() - begun < 10
    assert not AnalysisJob.objects.filter(state=State.RUNNING).exists()
    assert set(AnalysisJob.objects.values_list("state", "attempts")) <= {(State.DONE, 1), (State.QUEUED, 0)}
    assert not Worker.objects.exists()


def test_worker_command_needs_no_broker(start_workers, upload):
    workers = start_workers("redis://127.0.0.1:1/0")
    for _ in range(10):
        upload()
    assert workers.command("--idle-exit").wait(timeout=30) == 0
    assert all_finished()
    assert each_stored_once(10)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_worker_command_returns_its_batch_when_stopped(start_workers, upload, number):
    workers = start_workers("redis://127.0.0.1:1/0")
    for _ in range(60):
        upload(BLUE)
    process = workers.command()
    wait_for(lambda: AnalysisJob.objects.filter(state=State.RUNNING).exists())
    process.send_signal(number)
    assert process.wait(timeout=10) == 0
    assert set(AnalysisJob.objects.values_list("state", "attempts")) <= {(State.DONE, 1), (State.QUEUED, 0)}


def test_closing_the_terminal_does_not_stop_what_nohup_began(start_workers, upload):
    was = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        process = start_workers("redis://127.0.0.1:1/0").command()
    finally:
        signal.signal(signal.SIGHUP, was)
    upload()
    wait_for(all_finished, seconds=30)
    process.send_signal(signal.SIGHUP)
    upload()
    wait_for(all_finished, seconds=30)
    assert process.poll() is None


def test_several_processes_that_are_told_to_stop_as_they_start_end_well(start_workers):
    process = start_workers("redis://127.0.0.1:1/0").command("--processes", "2")
    wait_for(lambda: len(psutil.Process(process.pid).children()) == 2)
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=10) == 0


def test_several_processes_share_the_rows_and_a_killed_one_is_replaced(start_workers, upload):
    workers = start_workers("redis://127.0.0.1:1/0")
    for _ in range(60):
        upload(BLUE)
    process = workers.command("--processes", "2")
    wait_for(lambda: AnalysisJob.objects.filter(state=State.RUNNING).count() > 16)
    name = Worker.objects.alive().values_list("name", flat=True)[0]
    os.kill(int(name.rsplit(":", 1)[1]), signal.SIGKILL)
    wait_for(all_finished, seconds=60)
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=12) == 0
    assert each_stored_once(60)


@pytest.mark.parametrize("fault", ["dead", "frozen"])
def test_broken_broker_delays_no_upload_and_loses_none(settings, start_workers, upload, tmp_path, fault):
    with EmbeddedRedis(tmp_path) as server:
        settings.BOORU_ML = {**settings.BOORU_ML, "BROKER_URL": server.url}
        workers = start_workers(server.url)
        workers.celery()
        upload()
        wait_for(all_finished)
        server.freeze() if fault == "frozen" else server.kill()
        durations = []
        for _ in range(10):
            begun = time.monotonic()
            upload()
            durations.append(time.monotonic() - begun)
        assert max(durations) < 0.5
        wait_for(all_finished)  # while the broker is still away
        server.thaw() if fault == "frozen" else server.start()
        upload()
        wait_for(all_finished)
    assert each_stored_once(12)
