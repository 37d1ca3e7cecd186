"""Nobody's flood of uploads keeps the others waiting, fails, or is lost."""

from __future__ import annotations

import pytest
from django.contrib.auth import get_user_model
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext

from booru_ml.models import AnalysisJob
from booru_ml.pipeline import facts, leases, outbox
from booru_ml.pipeline.runner import Runner
from deploy.demo.board.models import Post
from tests.booru_ml.pipeline.fakes import VERSION, FakeDecoders, FakeEngine
from tests.posts import stored

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("media", "rings")]
State, Priority = AnalysisJob.State, AnalysisJob.Priority


@pytest.fixture(autouse=True)
def three_each(settings, version):
    settings.BOORU_ML = {**settings.BOORU_ML, "MAX_WAITING_PER_UPLOADER": 3}


def upload_by(name: str, count: int = 1) -> list[Post]:
    return [stored(uploader=name) for _ in range(count)]


def taken() -> list[int]:
    """The posts in the order in which workers take them."""
    batches = iter(lambda: leases.claim(limit=9, version=VERSION), [])
    return [job.post_id for batch in batches for job in batch]


def drain() -> int:
    return Runner(FakeEngine(), FakeDecoders(), version=VERSION, sinks=[]).drain(max_seconds=20)


def test_others_go_first_and_the_flood_is_worked_off_in_its_order():
    flood = upload_by("flooder", 8)
    (other,) = upload_by("ann")
    assert taken() == [*(post.pk for post in flood[:3]), other.pk, *(post.pk for post in flood[3:])]


def test_held_uploads_are_analysed_with_nobody_to_release_them():
    upload_by("flooder", 8)
    assert AnalysisJob.objects.filter(priority=Priority.HELD).count() == 5
    assert drain() == 8
    assert AnalysisJob.objects.filter(state=State.DONE).count() == 8
    upload_by("flooder")
    assert AnalysisJob.objects.filter(state=State.QUEUED, priority=Priority.FRESH).count() == 1


def test_held_uploads_go_before_reruns_and_old_posts():
    (old, again) = upload_by("ann", 2)
    AnalysisJob.objects.filter(post=old).update(priority=Priority.BACKFILL)
    AnalysisJob.objects.filter(post=again).update(priority=Priority.RERUN)
    flood = upload_by("flooder", 4)
    assert taken() == [*(post.pk for post in flood), again.pk, old.pk]


def test_share_is_one_indexed_query_and_none_where_it_is_lifted(settings):
    def cost() -> list[str]:
        with CaptureQueriesContext(connection) as queries:
            upload_by("ann")
        return [query["sql"] for query in queries if "analysisjob" in query["sql"]]

    upload_by("ann")
    with_share = cost()
    assert "booru_ml_waiting_by_uploader" in _plan(outbox._SHARE, ["1", 2])
    settings.BOORU_ML = {**settings.BOORU_ML, "MAX_WAITING_PER_UPLOADER": 0}
    assert len(with_share) == len(cost()) + 1
    upload_by("ann", 9)
    assert not AnalysisJob.objects.filter(priority=Priority.HELD).exists()


def test_board_without_uploaders_holds_nobody(settings):
    fields = {role: name for role, name in settings.BOORU_ML["FIELDS"].items() if role != "uploader"}
    settings.BOORU_ML = {**settings.BOORU_ML, "FIELDS": fields}
    upload_by("ann", 5)
    assert set(AnalysisJob.objects.values_list("priority", "uploader")) == {(Priority.FRESH, "")}


def test_back_pressure_is_told():
    upload_by("flooder", 5)
    upload_by("ann", 4)
    queue = facts.queue_facts()
    assert (queue.held, queue.uploaders_over_limit) == (3, 2)
    flooder = str(get_user_model().objects.get(username="flooder").pk)
    assert facts.held_uploaders()[0] == (flooder, 2)


def test_asking_by_hand_counts_as_an_upload():
    posts = upload_by("flooder", 4)
    AnalysisJob.objects.filter(post=posts[3]).delete()
    job = outbox.enqueue(posts[3])
    assert job is not None
    assert job.priority == Priority.HELD


def _plan(sql: str, values: list) -> str:
    with transaction.atomic(), connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute("SET LOCAL enable_seqscan = off")  # the table is too small to be worth an index
        cursor.execute(f"EXPLAIN {'QUERY PLAN ' if connection.vendor == 'sqlite' else ''}{sql}", values)
        return str(cursor.fetchall())
