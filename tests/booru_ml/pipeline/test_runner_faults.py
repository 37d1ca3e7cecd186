"""A fault costs its own row and nobody else's."""

from __future__ import annotations

import hashlib
import threading
from asyncio import CancelledError
from concurrent.futures import Future
from datetime import timedelta
from functools import partial
from unittest.mock import MagicMock

import pytest
from django.core.exceptions import SuspiciousFileOperation
from django.db import OperationalError
from django.db.models.functions import Now

from booru_ml.errors import CheckpointError, PictureRefused
from booru_ml.host.loader import host
from booru_ml.models import AnalysisJob
from booru_ml.pipeline import leases
from booru_ml.pipeline.outcomes import WorkerFault
from booru_ml.pipeline.runner import Runner
from booru_ml.types import Picture
from tests.booru_ml.pipeline.fakes import VERSION, FakeDecoders, FakeEngine

pytestmark = pytest.mark.django_db(transaction=True)
State = AnalysisJob.State


def _failed(error: Exception) -> Future[Picture]:
    future: Future[Picture] = Future()
    future.set_exception(error)
    return future


def due() -> None:
    """Makes rows that wait for another try due at once."""
    AnalysisJob.objects.filter(state=State.QUEUED).update(ready_at=Now() - timedelta(seconds=1))


def test_one_bad_analysis_fails_alone(upload, heard):
    poison = upload()
    for _ in range(3):
        upload()

    def sink(analyses):
        if any(analysis.post_id == poison.pk for analysis in analyses):
            raise ValueError("cannot store this")
        heard.extend(analyses)

    runner = Runner(FakeEngine(), FakeDecoders(), version=VERSION, batch_size=4, sinks=[sink])
    assert runner.drain() == 3
    job = AnalysisJob.objects.get(post=poison)
    assert (job.state, job.attempts, job.code) == (State.QUEUED, 1, "sink_failed")
    assert "cannot store this" in job.message
    for _ in range(3):
        due()
        runner.drain()
    job.refresh_from_db()
    assert (job.state, job.attempts) == (State.QUARANTINED, 3)
    assert len(heard) == 3


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (RuntimeError("CUDA out of memory"), "out_of_memory"),
        (MemoryError(), "out_of_memory"),
        (SystemError("tile cannot extend outside image"), "engine_failed"),
    ],
)
def test_engine_failure_of_one_picture_does_not_touch_the_others(upload, heard, error, code):
    poison = upload(b"poison")
    for _ in range(3):
        upload()
    sha = hashlib.sha256(b"poison").hexdigest()

    def before(pictures):
        if any(picture.sha256 == sha for picture in pictures):
            raise error

    runner = Runner(FakeEngine(before), FakeDecoders(), version=VERSION, batch_size=4, sinks=[heard.extend])
    assert runner.drain() == 3
    job = AnalysisJob.objects.get(post=poison)
    assert (job.state, job.attempts, job.code) == (State.QUEUED, 1, code)


@pytest.mark.parametrize("error", [CheckpointError("weights are gone"), RuntimeError("broken session"), ImportError()])
def test_broken_engine_burns_no_attempts(upload, error):
    for _ in range(5):
        upload()

    def before(pictures):
        raise error

    runner = Runner(FakeEngine(before), FakeDecoders(), version=VERSION, batch_size=4, sinks=[])
    for _ in range(5):
        with pytest.raises(WorkerFault):
            runner.drain()
    assert set(AnalysisJob.objects.values_list("state", "attempts")) == {(State.QUEUED, 0)}


def test_broken_installation_of_a_sink_burns_no_attempts(upload):
    upload()

    def sink(analyses):
        raise ImportError("no such app")

    runner = Runner(FakeEngine(), FakeDecoders(), version=VERSION, batch_size=4, sinks=[sink])
    with pytest.raises(WorkerFault):
        runner.drain()
    assert list(AnalysisJob.objects.values_list("state", "attempts")) == [(State.QUEUED, 0)]


def test_worker_that_lost_its_lease_writes_nothing(upload, runner, heard):
    upload()

    def another_worker_takes_over(pictures):
        AnalysisJob.objects.update(lease_until=Now() - timedelta(seconds=1))
        assert len(leases.claim(limit=4, version=VERSION)) == 1

    runner.engine.before = another_worker_takes_over
    assert runner.drain() == 0
    assert heard == []
    job = AnalysisJob.objects.get()
    assert (job.state, job.attempts) == (State.RUNNING, 2)


def test_rows_of_a_lost_worker_travel_alone_and_are_quarantined_in_the_end(upload, runner, heard):
    posts = [upload() for _ in range(3)]
    leases.claim(limit=4, version=VERSION)
    AnalysisJob.objects.update(lease_until=Now() - timedelta(seconds=1))
    upload()
    assert runner.drain() == 4
    assert runner.engine.batches == [1, 1, 1, 1]
    AnalysisJob.objects.filter(post=posts[0]).update(
        state=State.RUNNING, attempts=3, lease_until=Now() - timedelta(seconds=1)
    )
    assert runner.drain() == 0
    job = AnalysisJob.objects.get(post=posts[0])
    assert (job.state, job.code) == (State.QUARANTINED, "crashed")


def test_lost_database_is_waited_for(upload, heard, monkeypatch):
    upload()
    failures = iter([OperationalError("server closed the connection")] * 2)

    def sink(analyses):
        for error in failures:
            raise error
        heard.extend(analyses)

    runner = Runner(FakeEngine(), FakeDecoders(), version=VERSION, batch_size=4, sinks=[sink])
    assert runner.drain() == 1
    job = AnalysisJob.objects.get()
    assert (job.state, job.attempts) == (State.DONE, 1)


def test_post_deleted_meanwhile_is_dropped(upload, runner, heard):
    post, other = upload(), upload()
    runner.engine.before = lambda pictures: post.pk and post.delete()
    assert runner.drain() == 1
    assert [analysis.post_id for analysis in heard] == [other.pk]


def test_missing_file_fails_alone_with_a_reason(upload, runner):
    post = upload()
    upload()
    post.picture.storage.delete(post.picture.name)
    assert runner.drain() == 1
    job = AnalysisJob.objects.get(post=post)
    assert (job.state, job.code) == (State.QUEUED, "picture_missing")


@pytest.mark.parametrize(
    "error",
    [
        SuspiciousFileOperation("../x"),
        RuntimeError("403 \0 \udcff"),
        TimeoutError("no answer"),
        MemoryError(),
        CancelledError(),
    ],
)
def test_what_a_storage_raises_costs_the_attempt_of_its_own_row(upload, runner, heard, monkeypatch, error):
    post, other = upload(), upload()
    open_picture = host().open_picture

    def refused(post_id):
        if post_id == post.pk:
            raise error
        return open_picture(post_id)

    monkeypatch.setattr(host(), "open_picture", refused)
    assert runner.drain() == 1
    assert [analysis.post_id for analysis in heard] == [other.pk]
    job = AnalysisJob.objects.get(post=post)
    assert (job.state, job.attempts, job.code) == (State.QUEUED, 1, "storage")


def test_a_broken_installation_of_the_storage_costs_no_attempt(upload, runner, monkeypatch):
    upload()
    monkeypatch.setattr(host(), "open_picture", MagicMock(side_effect=ImportError("no such driver")))
    with pytest.raises(WorkerFault, match="no such driver"):
        runner.drain()
    assert list(AnalysisJob.objects.values_list("state", "attempts")) == [(State.QUEUED, 0)]


class Slow(FakeDecoders):
    """Whose futures are done late, by what a storage raised where the picture begins with ``late``."""

    def __init__(self, error: BaseException) -> None:
        self.error = error

    def submit(self, stream):
        done, late = super().submit(stream), Future()
        stream.seek(0)
        tell = partial(late.set_exception, self.error) if stream.read(4) == b"late" else None
        threading.Timer(0.4, tell or partial(late.set_result, done.result())).start()
        return late


@pytest.mark.parametrize("error", [TimeoutError("the storage"), CancelledError()])
def test_a_storage_that_gave_up_while_it_was_read_costs_the_attempt_of_its_own_row(upload, heard, error):
    post, other = upload(b"late"), upload()
    assert Runner(FakeEngine(), Slow(error), version=VERSION, batch_size=4, sinks=[heard.extend]).drain() == 1
    assert [analysis.post_id for analysis in heard] == [other.pk]
    job = AnalysisJob.objects.get(post=post)
    assert (job.state, job.attempts, job.code) == (State.QUEUED, 1, "storage")


def test_a_header_may_claim_any_size(upload, heard):
    huge = PictureRefused("Too many pixels.", code="too-many-pixels", width=2**32 - 1, height=2**32 - 1)
    decoders = MagicMock()
    decoders.submit.side_effect = lambda stream: _failed(huge)
    post = upload()
    assert Runner(FakeEngine(), decoders, version=VERSION, batch_size=4, sinks=[heard.extend]).drain() == 1
    job = AnalysisJob.objects.get(post=post)
    assert (job.state, job.code, job.width) == (State.REFUSED, "too-many-pixels", 2**31 - 1)


class Killed(FakeDecoders):
    """Whose processes end by ``code`` on pictures that begin with ``kill``, as often as they are told to."""

    def __init__(self, code: str, times: int) -> None:
        self.code, self.times = code, times

    def submit(self, stream):
        if self.times and stream.read(4) == b"kill":
            self.times -= 1
            return _failed(PictureRefused("The decoder ended.", code=self.code))
        stream.seek(0)
        return super().submit(stream)


@pytest.mark.parametrize("code", ["crashed", "timeout"])
@pytest.mark.parametrize(("times", "end"), [(1, (State.DONE, 2)), (9, (State.REFUSED, 3))])
def test_killed_decoder_is_the_pictures_fault_only_if_it_happens_each_time(upload, heard, times, end, code):
    post = upload(b"kill")
    upload()
    runner = Runner(FakeEngine(), Killed(code, times), version=VERSION, batch_size=4, sinks=[heard.extend])
    assert runner.drain() == 1
    job = AnalysisJob.objects.get(post=post)
    assert (job.state, job.attempts, job.code) == (State.QUEUED, 1, code)
    for _ in range(2):
        due()
        runner.drain()
    job.refresh_from_db()
    assert (job.state, job.attempts) == end
    assert job.code == (code if job.state == State.REFUSED else "")


def test_rows_are_given_back_once_the_database_is_back(upload, runner, monkeypatch):
    upload()
    give_back, tries = leases.give_back, []

    def away_at_first(jobs, **how):
        tries.append(1)
        if len(tries) < 3:
            raise OperationalError("the database system is starting up")
        give_back(jobs, **how)

    def broken(pictures):
        raise ImportError

    monkeypatch.setattr(leases, "give_back", away_at_first)
    runner.engine.before = broken
    with pytest.raises(WorkerFault):
        runner.drain()
    assert list(AnalysisJob.objects.values_list("state", "attempts")) == [(State.QUEUED, 0)]
