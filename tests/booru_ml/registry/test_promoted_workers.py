"""Workers go over to what is promoted, between batches; one that cannot works on and loses nothing."""

from __future__ import annotations

import shutil
import time

import pytest
from django.db.models.functions import Now

from booru_ml import promotions, registry
from booru_ml.errors import CheckpointError
from booru_ml.models import AnalysisJob
from booru_ml.models import Worker as WorkerRow
from booru_ml.pipeline import leases, outbox
from booru_ml.pipeline import models as engines
from booru_ml.pipeline.worker import Worker
from tests.booru_ml.pipeline.fakes import FakeDecoders, FakeEngine

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("promotions")]
State, Priority = AnalysisJob.State, AnalysisJob.Priority


class Versioned(FakeEngine):
    def __init__(self, version: str) -> None:
        super().__init__()
        self.version, self.closed = version, False

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def worker(monkeypatch):
    """A worker whose networks are their version; ``refused`` selections cannot be loaded."""
    monkeypatch.setattr("booru_ml.conf.sinks", lambda: ())
    monkeypatch.setattr(engines, "RETRY_SECONDS", 0.0)

    class Wired(Worker):
        refused: set[str]

    found = Wired(engine=FakeEngine, decoders=FakeDecoders)
    found.refused = set()

    def load(selection: registry.Selection) -> Versioned:
        if selection.version in found.refused:
            raise CheckpointError(f"{selection.version} is not on this machine")
        return Versioned(selection.version)

    found.models = engines.Models(load)
    return found


def drain_until(worker: Worker, done) -> None:
    patience = time.monotonic() + 10
    while not done():
        assert time.monotonic() < patience
        worker.drain()
        time.sleep(0.01)


def test_a_worker_goes_over_between_batches_without_a_restart(worker, candidate, upload):
    upload()
    worker.drain()
    old = worker.models._engine
    row = promotions.promote(version=candidate().version, reanalyse=False)
    drain_until(worker, lambda: worker.models.version == row.pipeline_version)
    upload()
    worker.drain()
    done = AnalysisJob.objects.order_by("pk").values_list("state", "pipeline_version")
    assert list(done) == [(State.DONE, old.version), (State.DONE, row.pipeline_version)]
    assert old.closed
    assert WorkerRow.objects.get().pipeline_version == row.pipeline_version
    promotions.rollback(reanalyse=False)
    drain_until(worker, lambda: worker.models.version == old.version)


def test_a_worker_that_cannot_load_it_works_on_and_says_so(worker, candidate, upload):
    upload()
    worker.drain()
    old = worker.models.version
    row = promotions.promote(version=candidate().version, reanalyse=False)
    worker.refused = {row.pipeline_version}
    drain_until(worker, lambda: worker.models.behind)
    said = WorkerRow.objects.get()
    assert "not on this machine" in said.behind
    assert (said.fault, said.pipeline_version) == ("", old)
    backfilled, fresh = upload(), upload()
    AnalysisJob.objects.filter(post=backfilled).update(priority=Priority.BACKFILL)
    worker.drain()
    # The upload is analysed by the former models, and waits for the promoted ones; the old post waits for those alone.
    wanted = {
        (fresh.pk, State.DONE, old),
        (fresh.pk, State.QUEUED, row.pipeline_version),
        (backfilled.pk, State.QUEUED, row.pipeline_version),
    }
    rows = AnalysisJob.objects.filter(post__in=[fresh, backfilled])
    assert set(rows.values_list("post_id", "state", "pipeline_version")) == wanted
    worker.refused = set()
    drain_until(worker, lambda: not AnalysisJob.objects.unfinished().exists())
    assert not WorkerRow.objects.get().behind
    assert rows.filter(state=State.DONE, pipeline_version=row.pipeline_version).count() == 2


def test_a_worker_in_the_midst_of_its_work_leaves_old_posts_to_models_promoted_meanwhile(
    worker, candidate, upload, unheard
):
    upload()
    worker.drain()
    old = worker.models.version
    row = unheard(candidate())
    outbox.write_old({job.post_id: job.content_key for job in AnalysisJob.objects.all()}, version=row.pipeline_version)
    fresh = upload()
    AnalysisJob.objects.filter(post=fresh).update(pipeline_version=row.pipeline_version)
    worker._runner.drain(max_seconds=5)
    rows = AnalysisJob.objects.filter(pipeline_version=row.pipeline_version)
    assert set(rows.values_list("state", flat=True)) == {State.QUEUED}
    assert rows.count() == 2
    assert AnalysisJob.objects.get(post=fresh, state=State.DONE).pipeline_version == old


def test_a_worker_that_starts_without_the_promoted_folder_takes_the_former_models(worker, candidate, upload):
    old = registry.pipeline_version()
    row = candidate()
    promotions.promote(version=row.version, reanalyse=False)
    upload()
    shutil.rmtree(row.folder)
    assert worker.drain() == 1
    assert worker.models.version == old
    assert row.folder in WorkerRow.objects.get().behind
    assert AnalysisJob.objects.get(state=State.DONE).pipeline_version == old


def test_a_lagging_worker_does_not_close_a_job_that_only_the_promoted_models_can_answer(upload):
    post = upload()
    AnalysisJob.objects.update(pipeline_version="old@1", state=State.DONE, finished_at=Now())
    AnalysisJob.objects.create(post=post, content_key=AnalysisJob.objects.get().content_key, pipeline_version="new@2")
    assert leases.claim(limit=4, version="old@1", lags=lambda sure: "new@2") == []
    left = AnalysisJob.objects.get(pipeline_version="new@2")
    assert (left.state, left.priority) == (State.QUEUED, Priority.BACKFILL)
    assert [job.pk for job in leases.claim(limit=4, version="new@2")] == [left.pk]
