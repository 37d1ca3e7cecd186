"""What a runner claims, in which order, and what becomes of it."""

from __future__ import annotations

import time

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from booru_ml.models import AnalysisJob
from booru_ml.pipeline import leases
from booru_ml.pipeline.batches import Batch
from booru_ml.pipeline.runner import Runner
from tests.booru_ml.pipeline.fakes import VERSION, FakeDecoders, FakeEngine

pytestmark = pytest.mark.django_db(transaction=True)
State = AnalysisJob.State


def states() -> list[str]:
    return list(AnalysisJob.objects.order_by("pk").values_list("state", flat=True))


def test_every_upload_is_analysed_once_and_marked_done(upload, runner, heard):
    posts = [upload() for _ in range(10)]
    assert runner.drain() == 10
    assert sorted(analysis.post_id for analysis in heard) == [post.pk for post in posts]
    assert states() == [State.DONE] * 10
    assert runner.engine.batches == [4, 4, 2]
    assert runner.drain() == 0
    job = AnalysisJob.objects.first()
    assert (job.width, job.height, job.frame_count, len(job.sha256)) == (8, 8, 1, 64)
    assert job.attempts == 1
    assert job.lease_token is None
    assert set(job.timings) == {"decode", "infer", "batch"}


def test_a_worker_that_leaves_rows_for_others_wakes_one(upload, rings, heard):
    for _ in range(6):
        upload()
    rings.clear()
    pair = Runner(FakeEngine(), FakeDecoders(), version=VERSION, batch_size=16, sinks=[heard.extend], peers=lambda: 2)
    assert pair.drain() == 6  # nobody else came
    assert (pair.engine.batches, rings) == ([3, 2, 1], [1])
    upload()
    rings.clear()
    assert (pair.drain(), rings) == (1, [])


def test_a_fresh_upload_passes_by_old_posts_that_are_decoded_already(upload, heard):
    """It comes while the first batch is in the network and the second one is claimed: it waits for the first alone."""
    old = [upload() for _ in range(12)]
    AnalysisJob.objects.update(priority=AnalysisJob.Priority.BACKFILL)
    fresh = []

    class Uploading(FakeEngine):
        def infer(self, pictures):
            if not fresh:
                fresh.append(upload())
            return super().infer(pictures)

    runner = Runner(Uploading(), FakeDecoders(), version=VERSION, batch_size=4, sinks=[heard.extend])
    assert runner.drain() == 13
    order = [analysis.post_id for analysis in heard]
    assert set(order[:4]) == {post.pk for post in old[:4]}
    # The second batch was claimed before the upload: the next look at the queue is when that one's turn comes.
    assert order.index(fresh[0].pk) == 4
    assert runner.engine.batches == [4, 1, 4, 4]


def test_old_posts_are_passed_by_for_no_longer_than_a_lease(upload, heard, settings):
    settings.BOORU_ML = {**settings.BOORU_ML, "LEASE_SECONDS": 0.0001}
    upload()
    AnalysisJob.objects.update(priority=AnalysisJob.Priority.BACKFILL)
    batch = Batch(leases.claim(limit=2, version=VERSION))
    upload()
    later = Batch(leases.claim(limit=2, version=VERSION))
    assert later.priority > batch.priority
    time.sleep(0.001)
    assert not later.goes_before(batch)


def test_refused_picture_reaches_the_sinks_as_a_refusal(upload, runner, heard):
    upload(b"bad file")
    upload()
    assert runner.drain() == 2
    assert states() == [State.REFUSED, State.DONE]
    job = AnalysisJob.objects.first()
    assert (job.code, job.message) == ("corrupt", "This is no picture.")
    assert {analysis.job_id: bool(analysis.refusal) for analysis in heard} == {job.pk: True, job.pk + 1: False}


def test_urgent_rows_go_first(upload, runner, heard):
    posts = [upload() for _ in range(6)]
    AnalysisJob.objects.filter(post__in=posts[:4]).update(priority=AnalysisJob.Priority.BACKFILL)
    AnalysisJob.objects.filter(post=posts[4]).update(priority=AnalysisJob.Priority.RERUN)
    runner.batch_size = 1
    runner.drain()
    assert [analysis.post_id for analysis in heard][:3] == [posts[5].pk, posts[4].pk, posts[0].pk]


def test_stopped_worker_finishes_its_batch_and_returns_the_next(upload, runner):
    for _ in range(8):
        upload()
    runner.engine.before = lambda pictures: runner.stop.set()
    assert runner.drain() == 4
    assert set(AnalysisJob.objects.values_list("state", "attempts")) == {(State.DONE, 1), (State.QUEUED, 0)}


def test_rows_of_another_version_are_taken_over_without_doubles(upload, runner, heard):
    post = upload()
    job = AnalysisJob.objects.get()
    assert job.pipeline_version != VERSION
    assert runner.drain() == 1
    job.refresh_from_db()
    assert (job.state, job.pipeline_version) == (State.DONE, VERSION)
    AnalysisJob.objects.create(post=post, content_key=job.content_key, pipeline_version="old@1")
    assert runner.drain() == 0
    assert AnalysisJob.objects.get(pipeline_version="old@1").code == "superseded"
    assert len(heard) == 1


def test_a_picture_that_was_replaced_does_not_speak_after_the_new_one(upload, version, runner, heard):
    post = upload()
    old = AnalysisJob.objects.get()
    AnalysisJob.objects.update(priority=AnalysisJob.Priority.BACKFILL)
    first = post.sha256
    post.sha256 = "f" * 64
    post.save()
    assert runner.drain() == 2
    old.refresh_from_db()
    assert (old.state, old.code) == (State.DONE, "superseded")
    (analysis,) = heard
    assert analysis.job_id != old.pk
    post.sha256 = first  # the first picture is back
    post.save()
    assert runner.drain() == 1
    assert [analysis.job_id for analysis in heard][1:] == [old.pk]
    post.save()
    assert runner.drain() == 0


def test_a_picture_that_was_replaced_behind_our_back_is_looked_at_by_the_job_that_there_is(
    upload, version, runner, heard
):
    post = upload()
    post.sha256 = "f" * 64
    post.save()
    type(post).objects.filter(pk=post.pk).update(sha256="e" * 64)  # nobody hears of it, so no job is written
    assert runner.drain() == 2
    assert len(heard) == 2


def test_a_picture_adds_one_statement_to_its_batch_however_full_that_is(upload, monkeypatch):
    """With every sink: each picture asks for its file; all else is done for the batch at once."""

    def statements(count: int) -> int:
        for _ in range(count):
            upload()
        AnalysisJob.objects.update(pipeline_version=VERSION)
        runner = Runner(FakeEngine(), FakeDecoders(), version=VERSION, batch_size=20)
        with CaptureQueriesContext(connection) as seen:
            assert runner.drain() == count
        return len(seen)

    monkeypatch.setattr("embeddings.gallery.LOOK_SECONDS", 60)  # what is asked by the clock is asked before
    statements(12)  # and what is asked once
    assert statements(12) <= 12 + 31  # a second one for each picture would make it 55
