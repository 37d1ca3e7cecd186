from __future__ import annotations

import os
import subprocess
import sys
import time

import pytest
import redis

from booru_ml.errors import Unavailable
from booru_ml.pipeline import doorbell
from booru_ml.transport import TIMEOUT_SECONDS
from tests.servers import EmbeddedRedis

pytestmark = pytest.mark.redis


@pytest.fixture
def server(settings, tmp_path):
    with EmbeddedRedis(tmp_path) as running:
        settings.BOORU_ML = {**settings.BOORU_ML, "BROKER_URL": running.url}
        yield running


@pytest.fixture
def bell():
    return doorbell.Doorbell()


def waiting(server: EmbeddedRedis) -> int:
    return redis.Redis.from_url(server.url).llen("booru_ml")


def until(condition, seconds: float = 5) -> None:
    begun = time.monotonic()
    while not condition():
        assert time.monotonic() - begun < seconds
        time.sleep(0.02)


def rung(ring, server: EmbeddedRedis) -> None:
    """A single ring is a hint, which a busy machine may lose to the broker's time limit."""

    def heard() -> bool:
        ring()
        return waiting(server) >= 1

    until(heard)


def cost(bell: doorbell.Doorbell, rings: int = 200) -> float:
    """The longest ring of many, in seconds."""
    longest = 0.0
    for _ in range(rings):
        begun = time.perf_counter()
        bell.ring()
        longest = max(longest, time.perf_counter() - begun)
    return longest


def test_ring_reaches_the_broker_and_many_rings_become_few_messages(server, bell):
    for _ in range(500):
        bell.ring()
    until(lambda: waiting(server) >= 1)
    time.sleep(0.3)
    assert waiting(server) <= 4


@pytest.mark.parametrize("state", ["alive", "dead", "frozen"])
def test_ring_returns_at_once(server, bell, state):
    rung(bell.ring, server)
    {"alive": lambda: None, "dead": server.kill, "frozen": server.freeze}[state]()
    failures = doorbell.DOORBELL_FAILURES._value.get()
    assert cost(bell) < TIMEOUT_SECONDS / 2  # who waited for the broker would wait for all of it
    if state != "alive":
        until(lambda: doorbell.DOORBELL_FAILURES._value.get() > failures)


def test_restarted_and_flushed_broker_is_rung_again(server, bell):
    rung(bell.ring, server)
    redis.Redis.from_url(server.url).flushall()
    rung(bell.ring, server)
    server.kill()
    server.start()
    rung(bell.ring, server)


def test_forked_process_rings_for_itself(server):
    rung(doorbell.ring, server)
    time.sleep(2 * doorbell.PAUSE_SECONDS)
    before = waiting(server)
    child = os.fork()
    if child == 0:
        for _ in range(20):
            doorbell.ring()
            time.sleep(0.1)
        os._exit(0)
    os.waitpid(child, 0)
    until(lambda: waiting(server) > before)


def test_check_tells_whether_the_broker_answers(server):
    doorbell.check()
    server.freeze()
    begun = time.monotonic()
    with pytest.raises(Unavailable):
        doorbell.check()
    assert time.monotonic() - begun < 3
    server.kill()
    with pytest.raises(Unavailable):
        doorbell.check()


HOST_WITHOUT_CELERY = """
import os, django
os.environ["CELERY_BROKER_URL"] = "redis://elsewhere:1/0"
django.setup()
from celery import current_app, shared_task
from booru_ml.broker import app
assert current_app._get_current_object() is not app
assert current_app.main != "booru_ml"
assert app.connection_for_write().hostname == "127.0.0.1"
assert app.connection_for_read().hostname == "127.0.0.1"
assert app.conf.task_default_queue == "booru_ml"
"""


def test_own_celery_app_never_becomes_the_hosts():
    environment = {**os.environ, "DJANGO_SETTINGS_MODULE": "tests.settings"}
    subprocess.run([sys.executable, "-c", HOST_WITHOUT_CELERY], env=environment, check=True, timeout=60)
