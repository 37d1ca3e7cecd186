"""Redis dies, hangs, forgets, refuses, repeats itself: uploads do not notice, and nothing is lost or done twice."""

from __future__ import annotations

import random
import signal
import time

import pytest
import redis
from django.db import connection
from django.test import Client

from booru_ml.conf import config
from booru_ml.models import AnalysisJob
from booru_ml.pipeline.doorbell import Doorbell
from tests.faults.pictures import drawing
from tests.flows.conftest import wait_for

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.redis]
QUEUE = "booru_ml"
AWAY = 3.0
"""Seconds that the broker is away."""


@pytest.mark.long
def test_killed_redis(crew, trial, server):
    crew.celery()
    with trial("Redis dies", f"kill -9, started again {AWAY:g} s later", within=30) as run:
        server.kill()
        time.sleep(AWAY)
        server.start()
        run.outage_over()


def test_redis_dies_while_messages_are_heard_and_not_answered_yet(crew, trial, server):
    crew.celery("--prefetch-multiplier", "50")
    with trial("Redis dies among messages", f"kill -9, started again {AWAY:g} s later", within=30) as run:
        with Doorbell._connect(config().BROKER_URL) as connection:
            for _ in range(30):
                Doorbell._send(connection)
        server.kill()
        time.sleep(AWAY)
        server.start()
        run.outage_over()


def test_silent_redis(crew, trial, server):
    crew.celery()
    with trial("Redis hangs", f"SIGSTOP for {AWAY:g} s", within=30) as run:
        server.freeze()
        time.sleep(AWAY)
        server.thaw()
        run.outage_over()


@pytest.mark.long
def test_uploads_are_analysed_while_redis_is_away(crew, trial, server):
    crew.celery()
    with trial("Redis dies and stays away", "kill -9", within=60):
        server.kill()


@pytest.mark.long
def test_flushed_redis(crew, trial, broker):
    crew.celery()
    with trial("Redis forgets everything", "FLUSHALL, five times", within=60):
        for _ in range(5):
            redis.Redis.from_url(broker).flushall()
            time.sleep(0.1)


@pytest.mark.long
def test_redis_refuses_connections(crew, trial, broker):
    client = redis.Redis.from_url(broker)
    crew.celery()
    with trial(
        "Redis refuses connections", f"all connections cut, CLIENT LIMIT of one for {AWAY:g} s", within=30
    ) as run:
        client.config_set("maxclients", 1)
        for other in client.client_list():
            if other["id"] != str(client.client_id()):
                client.client_kill_filter(_id=other["id"])
        time.sleep(AWAY)
        client.config_set("maxclients", 1000)
        run.outage_over()


@pytest.mark.long
def test_worker_that_starts_before_its_broker(crew, trial, server):
    server.kill()
    crew.celery()
    crew.command()
    with trial("no broker at the start", "nobody listens on the port; uploads and workers start", within=60):
        pass
    server.start()


@pytest.mark.parametrize("pool", ["solo", "threads"])
def test_pool_without_children_starts_before_its_broker_too(crew, uploads, server, pool):
    server.kill()
    crew.celery("-P", pool)
    uploads.many(3)
    wait_for(lambda: not AnalysisJob.objects.unfinished().exists(), 20)


@pytest.mark.parametrize("heard", ["heard before", pytest.param("never heard", marks=pytest.mark.long)])
def test_worker_that_is_told_to_stop_while_redis_hangs(crew, uploads, server, heard):
    if heard == "never heard":
        server.freeze()
    main = crew.celery()
    uploads.one()
    wait_for(lambda: not AnalysisJob.objects.unfinished().exists(), 20)
    server.freeze()
    main.send_signal(signal.SIGTERM)
    assert main.wait(timeout=15) == 0
    wait_for(lambda: crew.workers() == [], 10)


def test_doubled_and_reordered_messages(crew, trial, broker):
    client = redis.Redis.from_url(broker)
    main = crew.celery()
    with trial("messages come twice, late and out of order", "each one 50 times, shuffled", within=60):
        main.send_signal(signal.SIGSTOP)  # so that messages wait
        wait_for(lambda: client.llen(QUEUE) > 0)
        time.sleep(0.5)
        waiting = client.lrange(QUEUE, 0, -1) * 50
        random.Random(1).shuffle(waiting)
        client.rpush(QUEUE, *waiting)
        main.send_signal(signal.SIGCONT)


@pytest.mark.long
def test_deaf_worker_works_on(crew, trial, server):
    main = crew.celery()
    with trial("worker is deaf", "SIGSTOP of Celery's parent process, which hears the messages", within=60):
        main.send_signal(signal.SIGSTOP)
    main.send_signal(signal.SIGCONT)


@pytest.mark.long
def test_health_turns_red_while_no_worker_works(crew, trial, uploads):
    crew.celery()
    with trial("workers stand still", "SIGSTOP of every worker process until /readyz is red", within=60) as run:
        assert ready() == 200
        begun = time.monotonic()
        crew.signal_all(signal.SIGSTOP)
        while ready() != 503:
            time.sleep(0.5)
        assert time.monotonic() - begun <= 60
        crew.signal_all(signal.SIGCONT)
        run.outage_over()
    wait_for(lambda: ready() == 200, 60)


@pytest.mark.long
def test_killed_redis_with_the_shipped_checkpoints(crew, trial, server):
    crew.use(engine="untouched")
    crew.celery()
    with trial(
        "Redis dies, shipped checkpoints", f"kill -9, started again {AWAY:g} s later", within=30, make=drawing
    ) as run:
        server.kill()
        time.sleep(AWAY)
        server.start()
        run.outage_over()


def ready() -> int:
    status = Client().get("/booru/readyz?worker=1").status_code
    connection.close()
    return int(status)
