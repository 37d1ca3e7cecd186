from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from types import SimpleNamespace

import pytest
from django.core import serializers
from django.db import OperationalError, connection, connections, transaction
from django.db.models.signals import pre_delete

from booru_ml.models import AnalysisJob
from booru_ml.pipeline import hooks, outbox
from booru_ml.pipeline.runner import Runner
from deploy.demo.board.models import Post, Tag
from moderation.models import Case
from tests.booru_ml.pipeline.fakes import VERSION, FakeDecoders, FakeEngine

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("version")]
State = AnalysisJob.State


@pytest.fixture
def settling(settings):
    settings.BOORU_ML = {**settings.BOORU_ML, "SETTLE_SECONDS": 30.0}


def drain() -> int:
    return Runner(FakeEngine(), FakeDecoders(), version=VERSION, sinks=[]).drain(max_seconds=1)


def test_upload_writes_one_row_and_rings_once_committed(upload, rings):
    with transaction.atomic():
        post = upload()
        assert AnalysisJob.objects.get().post_id == post.pk
        assert rings == []
    assert rings == [1]


def test_rolled_back_upload_leaves_nothing(upload, rings):
    with transaction.atomic():
        upload()
        transaction.set_rollback(True)
    assert AnalysisJob.objects.count() == 0
    assert rings == []


def test_saving_again_changes_nothing_and_a_new_picture_asks_again(upload, rings):
    post = upload()
    drain()
    post.source = "https://example.org"
    post.save()
    assert AnalysisJob.objects.get().state == State.DONE
    post.sha256 = "f" * 64
    post.save()
    assert AnalysisJob.objects.filter(state=State.QUEUED).count() == 1


@pytest.mark.skipif(connection.vendor == "sqlite", reason="SQLite has one writer at a time")
def test_what_a_worker_stores_while_a_post_is_deleted_goes_with_it(upload, rings):
    post = upload()

    def store(**_):
        with ThreadPoolExecutor(1) as worker:
            worker.submit(Case.objects.create, post_id=post.pk).result()
            worker.submit(connections.close_all).result()

    pre_delete.connect(store, sender=Post)  # which comes when Django has collected what hangs on the post
    try:
        post.delete()
    finally:
        pre_delete.disconnect(store, sender=Post)
    assert not Post.objects.exists()
    assert not Case.objects.exists()


def test_our_own_writes_are_not_heard(upload, rings):
    post = upload()
    AnalysisJob.objects.all().delete()
    with hooks.writing_back():
        post.save()
        post.tags.add(Tag.objects.create(name="solo"))
    assert AnalysisJob.objects.count() == 0
    post.save()
    assert AnalysisJob.objects.count() == 1


def test_fixtures_are_not_heard(upload, rings):
    upload()
    text = serializers.serialize("json", Post.objects.all())
    AnalysisJob.objects.all().delete()
    for item in serializers.deserialize("json", text):
        item.save()
    assert AnalysisJob.objects.count() == 0


@pytest.mark.parametrize("inside", [True, False])
def test_no_error_reaches_the_uploader(upload, monkeypatch, inside, caplog):
    def broken(*args, **kwargs):
        AnalysisJob.objects.raw("SELECT * FROM nowhere")[0]

    monkeypatch.setattr("booru_ml.pipeline.outbox.host", broken)
    before = hooks.HOOK_ERRORS._value.get()
    if inside:
        with transaction.atomic():
            post = upload()
    else:
        post = upload()
    assert Post.objects.filter(pk=post.pk).exists()
    assert hooks.HOOK_ERRORS._value.get() == before + 1
    assert "the upload goes on" in caplog.text


def test_unreadable_checkpoints_do_not_cost_the_job(upload, monkeypatch):
    def unreadable():
        raise outbox.CheckpointError("gone")

    monkeypatch.setattr("booru_ml.registry.pipeline_version", unreadable)
    upload()
    assert AnalysisJob.objects.get().pipeline_version == outbox.UNVERSIONED
    assert drain() == 1
    assert AnalysisJob.objects.get().pipeline_version == VERSION


def test_rows_without_a_transaction_wait_for_the_form(upload, settling, rings):
    post = upload()
    job = AnalysisJob.objects.get()
    assert job.ready_at > job.created_at
    post.tags.add(Tag.objects.create(name="solo"))
    pushed = AnalysisJob.objects.get()
    assert pushed.ready_at > job.ready_at
    post.save()
    assert AnalysisJob.objects.get().ready_at > pushed.ready_at
    assert drain() == 0


def test_rows_inside_a_transaction_are_ready_at_the_commit(upload, settling):
    with transaction.atomic():
        upload()
    assert drain() == 1


def test_form_that_wipes_tags_after_the_analysis_gets_it_again_once(upload, rings):
    post = upload()
    assert drain() == 1
    ours, theirs = Tag.objects.create(name="ours"), Tag.objects.create(name="theirs")
    with hooks.writing_back():
        post.tags.add(ours)
    post.tags.set([theirs])
    assert AnalysisJob.objects.get().state == State.QUEUED
    assert drain() == 1
    post.tags.set([ours])
    assert AnalysisJob.objects.get().state == State.DONE


def test_board_with_transactions_keeps_what_people_remove(upload):
    with transaction.atomic():
        post = upload()
        post.tags.add(Tag.objects.create(name="solo"))
    assert drain() == 1
    post.tags.clear()
    assert AnalysisJob.objects.get().state == State.DONE


def test_rerun_takes_finished_rows_only(upload, rings):
    upload()
    job = AnalysisJob.objects.get()
    assert outbox.rerun(job_ids=[job.pk]) == 0
    drain()
    assert outbox.rerun(job_ids=[job.pk]) == 1
    job.refresh_from_db()
    assert (job.state, job.priority, job.attempts) == (State.QUEUED, AnalysisJob.Priority.RERUN, 0)
    assert drain() == 1


def test_post_without_a_picture_has_no_job(upload, monkeypatch):
    assert outbox.enqueue(Post(pk=1)) is None


def test_connection_lost_inside_the_hook_raises_nothing_of_ours(upload, rings, monkeypatch):
    @contextmanager
    def lost(**_: object):
        raise OperationalError("the connection is lost")
        yield

    gone = SimpleNamespace(get_connection=transaction.get_connection, atomic=lost)
    monkeypatch.setattr(hooks, "transaction", gone)
    with transaction.atomic():
        post = upload()
    assert Post.objects.filter(pk=post.pk).exists()
    assert AnalysisJob.objects.count() == 0
