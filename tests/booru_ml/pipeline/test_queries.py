"""Queries by picture beside the jobs: after uploads, before old posts."""

from __future__ import annotations

from datetime import timedelta
from hashlib import sha256

import pytest
from django.db.models.functions import Now

from booru_ml.models import AnalysisJob
from booru_ml.pipeline.queries import IN_HAND, Queries
from booru_ml.pipeline.runner import Runner
from booru_ml.pipeline.worker import Worker
from embeddings.models import PictureQuery
from tests.booru_ml.pipeline.fakes import FakeDecoders, FakeEngine

pytestmark = pytest.mark.django_db(transaction=True)
ASKED = b"somebody asks about this"
Priority = AnalysisJob.Priority


def ask(count: int = 1, seconds: float = 30.0) -> None:
    for _ in range(count):
        PictureQuery(asker="me", picture=ASKED, expires_at=Now() + timedelta(seconds=seconds)).save(force_insert=True)


def answered() -> int:
    return PictureQuery.objects.filter(answer__isnull=False).count()


@pytest.fixture
def order() -> list[str]:
    return []


@pytest.fixture
def runner(order) -> Runner:
    asked = sha256(ASKED).hexdigest()
    engine = FakeEngine(lambda pictures: order.append("query" if pictures[0].sha256 == asked else "job"))
    return Runner(engine, FakeDecoders(), version="v", batch_size=1, sinks=(), queries=Queries(engine, FakeDecoders()))


@pytest.mark.parametrize(
    ("priority", "expected"),
    [
        (Priority.FRESH, ["job", "job", "query"]),
        (Priority.HELD, ["job", "job", "query"]),
        (Priority.RERUN, ["job", "query", "job"]),
        (Priority.BACKFILL, ["job", "query", "job"]),
    ],
)
def test_uploads_go_first_and_old_posts_do_not(upload, runner, order, priority, expected):
    upload()
    upload()
    AnalysisJob.objects.filter(pk=AnalysisJob.objects.latest("pk").pk).update(priority=priority)
    ask()
    assert runner.drain() == 2
    assert order == expected


def test_an_upload_waits_for_one_query_at_most(upload, runner, order):
    asked = sha256(ASKED).hexdigest()

    def and_an_upload_comes(pictures):
        order.append("query" if pictures[0].sha256 == asked else "job")
        if len(order) == 1:
            upload()

    runner.engine.before = and_an_upload_comes
    ask(IN_HAND + 2)
    assert runner.drain() == 1
    assert order == ["query", "job", *["query"] * (IN_HAND + 1)]
    assert set(runner.engine.batches) == {1}
    assert answered() == IN_HAND + 2


def test_an_idle_worker_wakes_for_a_query_alone(monkeypatch):
    monkeypatch.setattr("booru_ml.pipeline.worker.build_query_decoders", FakeDecoders)
    worker = Worker(engine=FakeEngine, decoders=FakeDecoders)
    assert worker.drain() == 0
    ask()
    worker.drain()
    assert answered() == 1
    assert not worker.fault
    worker.close()


def test_a_fault_of_the_engine_is_the_workers_and_gives_the_queries_back():
    def lost(pictures):
        raise OSError("the device is gone")

    engine = FakeEngine(lost)
    runner = Runner(engine, FakeDecoders(), version="v", sinks=(), queries=Queries(engine, FakeDecoders()))
    ask()
    with pytest.raises(Exception, match="the device is gone"):
        runner.drain()
    assert PictureQuery.objects.get().attempts == 0
