from __future__ import annotations

import errno
import threading
import time
from io import StringIO

import pytest
from django.core.management import call_command
from django.db import DatabaseError, OperationalError

from booru_ml.errors import CheckpointError, Unavailable
from booru_ml.models import AnalysisJob
from booru_ml.models import Worker as WorkerRow
from booru_ml.pipeline import pulse
from booru_ml.pipeline.worker import Worker
from tests.booru_ml.pipeline.fakes import VERSION, FakeDecoders, FakeEngine

pytestmark = pytest.mark.django_db(transaction=True)
State = AnalysisJob.State


@pytest.fixture(autouse=True)
def no_sinks(monkeypatch):
    monkeypatch.setattr("booru_ml.conf.sinks", lambda: ())


def worker(engine=FakeEngine, decoders=FakeDecoders) -> Worker:
    return Worker(engine=engine, decoders=decoders)


def test_idle_worker_builds_no_engine(db):
    def engine():
        raise AssertionError

    assert worker(engine).drain() == 0


def test_missing_weights_wait_without_burning_attempts_and_are_tried_again(upload):
    upload()
    faults = [CheckpointError("lite0 is gone: fetch it again"), Unavailable("no decoder starts")]

    def engine():
        if faults:
            raise faults.pop(0)
        return FakeEngine()

    mine = worker(engine)
    for _ in range(2):
        assert mine.drain() == 0
        assert mine.fault
        assert WorkerRow.objects.get().fault == mine.fault
        assert mine.drain() == 0  # it waits before the next try
        mine._not_before = 0.0
    assert mine.drain() == 1
    assert mine.fault == ""
    assert WorkerRow.objects.get().fault == ""
    assert set(AnalysisJob.objects.values_list("state", "attempts")) == {(State.DONE, 1)}


def test_broken_engine_is_built_anew(upload):
    upload()
    built = []

    def broken(pictures):
        raise RuntimeError("lost device")

    def engine():
        built.append(FakeEngine(broken if not built else lambda pictures: None))
        return built[-1]

    mine = worker(engine)
    assert mine.drain() == 0
    mine._not_before = 0.0
    assert mine.drain() == 1
    assert len(built) == 2
    assert AnalysisJob.objects.get().attempts == 1


def test_lost_database_leaves_the_engine_alone(upload, monkeypatch):
    upload()
    mine = worker()
    assert mine.drain() == 1
    engine = mine._runner.engine
    with monkeypatch.context() as patch:
        patch.setattr(mine, "ready", lambda: (_ for _ in ()).throw(OperationalError("away")))
        assert mine.drain() == 0
    mine._not_before = 0.0
    upload()
    assert mine.drain() == 1
    assert mine._runner.engine is engine


def without_memory(analyses):
    raise MemoryError


def out_of_room(analyses):
    raise OSError(errno.ENOMEM, "Cannot allocate memory")


def as_libpq_says_it(analyses):
    raise DatabaseError("out of memory")


def as_an_interpreter_that_lost_its_error_says_it(analyses):
    raise SystemError("error return without exception set")


@pytest.mark.parametrize(
    "sink", [without_memory, out_of_room, as_libpq_says_it, as_an_interpreter_that_lost_its_error_says_it]
)
def test_worker_that_ran_out_of_memory_leaves_its_place_to_another(upload, monkeypatch, sink):
    upload()
    mine = worker()
    with monkeypatch.context() as patch:
        patch.setattr("booru_ml.conf.sinks", lambda: (sink,))
        assert mine.drain() == 0
    assert WorkerRow.objects.get().fault == mine.fault  # for as long as the pause lasts
    assert mine.drain() == 0
    assert not mine.stop.is_set()
    mine._not_before = 0.0
    assert mine.drain() == 0  # with memory again: what this process has set up half stays so
    assert mine.stop.is_set()
    mine.close()
    assert not WorkerRow.objects.exists()
    assert pulse._file is not None  # whoever takes its place looks whether it left rows behind
    assert list(AnalysisJob.objects.values_list("state", "attempts")) == [(State.QUEUED, 0)]
    assert worker().drain() == 1


def test_worker_without_memory_for_its_heartbeat_leaves_too(db, monkeypatch):
    mine = Worker()
    with monkeypatch.context() as patch:
        patch.setattr(mine._presence, "beat", without_memory_for_a_beat)
        mine.heartbeat()
    assert mine.fault
    assert mine.drain() == 0
    assert mine.stop.is_set()


def without_memory_for_a_beat(**said):
    raise MemoryError


def test_other_faults_of_a_worker_are_tried_again_in_place(upload):
    upload()
    mine = worker(lambda: FakeEngine(broken_device))
    assert mine.drain() == 0
    mine._not_before = 0.0
    assert mine.drain() == 0
    assert not mine.spent
    assert not mine.stop.is_set()


def broken_device(pictures):
    raise RuntimeError("lost device")


def test_one_drain_at_a_time(upload):
    upload()
    inside, leave = threading.Event(), threading.Event()

    def slow(pictures):
        inside.set()
        leave.wait(10)

    mine = worker(lambda: FakeEngine(slow))
    thread = threading.Thread(target=mine.drain)
    thread.start()
    inside.wait(10)
    begun = time.monotonic()
    assert mine.drain() == 0
    assert time.monotonic() - begun < 1
    leave.set()
    thread.join()
    assert AnalysisJob.objects.get().state == State.DONE


def test_closing_waits_for_the_batch_and_takes_the_row_away(upload):
    upload()
    inside = threading.Event()

    def slow(pictures):
        inside.set()
        time.sleep(0.5)

    mine = worker(lambda: FakeEngine(slow))
    thread = threading.Thread(target=mine.drain)
    thread.start()
    inside.wait(10)
    mine.close()
    thread.join()
    assert AnalysisJob.objects.get().state == State.DONE
    assert not WorkerRow.objects.exists()
    assert mine.drain() == 0


def test_a_beat_after_closing_leaves_no_row(db):
    mine = Worker()
    mine.heartbeat()
    assert WorkerRow.objects.filter(name=mine.name).exists()
    mine.close()
    mine.heartbeat()  # as the timer's thread does when the drain that it waited for has just ended
    assert not WorkerRow.objects.exists()


def test_heartbeat_tells_what_was_done(upload):
    upload()
    mine = worker()
    mine.drain()
    mine.heartbeat()
    row = WorkerRow.objects.alive().get()
    assert (row.pictures, row.batches, row.pipeline_version, row.fault) == (1, 1, VERSION, "")


def test_a_worker_that_is_told_to_stop_is_ended_by_the_kernel_in_the_end(monkeypatch):
    """A storage that never answers keeps the main thread, or a decoder's, for good."""
    command, told, alarms = "booru_ml.management.commands.booru_worker", [], []
    monkeypatch.setattr(f"{command}.when_told_to_stop", told.append)
    monkeypatch.setattr(f"{command}.memory.watch", lambda: None)
    monkeypatch.setattr(f"{command}.signal.alarm", alarms.append)
    monkeypatch.setattr(Worker, "run", lambda self, **_: told[0]())
    call_command("booru_worker", stderr=StringIO())
    (seconds,) = alarms
    assert 5 < seconds < 10
