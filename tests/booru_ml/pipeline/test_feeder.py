"""Which old posts are queued, and how many at a time."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db.models.functions import Now

from booru_ml.models import AnalysisJob, Backfill
from booru_ml.pipeline import feeder, orders, outbox
from booru_ml.pipeline.backfill import Order
from booru_ml.pipeline.runner import Runner
from deploy.demo.board.models import Post, Tag
from tests.booru_ml.pipeline.backfills import present, told, work
from tests.booru_ml.pipeline.fakes import VERSION, FakeDecoders, FakeEngine
from tests.threads import together

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("version")]
State, Priority = AnalysisJob.State, AnalysisJob.Priority


def test_every_old_post_is_analysed_once_and_never_again(old_posts):
    old_posts(7)
    out = told()
    assert "7 queued" in out
    assert "No worker is at work" in out
    assert present() == {(State.QUEUED, Priority.BACKFILL): 7}
    assert work() == 7
    told()
    assert work() == 0
    assert present() == {(State.DONE, Priority.BACKFILL): 7}


def test_only_so_many_wait_at_a_time(old_posts, few_waiting):
    old_posts(12)
    orders.begin(Order())
    waited, analysed = [], 0
    while Backfill.objects.active().exists() or orders.waiting():
        feeder.feed()
        waited.append(orders.waiting())
        analysed += work()
    assert max(waited) == 5
    assert analysed == 12


def test_newest_posts_go_first_and_a_limit_ends_it(old_posts):
    posts = old_posts(6)
    told("--limit", "2", "--no-wait")
    queued = AnalysisJob.objects.filter(pipeline_version=VERSION).values_list("post_id", flat=True)
    assert set(queued) == {posts[-1].pk, posts[-2].pk}
    assert Backfill.objects.get().state == Backfill.State.FINISHED


def test_since_tags_and_model_choose(old_posts):
    first, second, third, fourth = old_posts(4)
    Post.objects.filter(pk=first.pk).update(created_at="2020-01-01T00:00Z")
    for post in (first, second, third):
        for name in ("sword", "shield") if post != third else ("sword",):
            post.tags.add(Tag.objects.get_or_create(name=name)[0])
    AnalysisJob.objects.filter(post=fourth).update(pipeline_version="other@1")
    assert "2 of 2 posts would be analysed" in told("--dry-run", "--tags", "sword shield")
    assert "1 of 1 posts would be analysed" in told("--dry-run", "--tags", "shield sword", "--since", "2021-01-01")
    assert "3 of 4 posts would be analysed" in told("--dry-run", "--model", "older")
    assert "1 of 4 posts would be analysed" in told("--dry-run", "--model", "other@1")
    assert not AnalysisJob.objects.filter(pipeline_version=VERSION).exists()
    assert not Backfill.objects.exists()


def test_refused_pictures_are_left_alone_unless_asked_for(upload, old_posts):
    broken, sound = old_posts(2)
    AnalysisJob.objects.filter(post=broken).update(state=State.REFUSED, code="corrupt")
    told("--no-wait")
    assert Backfill.objects.get().left_refused == 1
    assert work() == 1
    told("--refused", "--no-wait")
    assert work() == 1
    assert set(AnalysisJob.objects.filter(pipeline_version=VERSION).values_list("post_id", flat=True)) == {
        broken.pk,
        sound.pk,
    }


def test_new_content_of_an_old_post_is_new_to_the_model(old_posts):
    (post,) = old_posts(1)
    told("--no-wait")
    work()
    Post.objects.filter(pk=post.pk).update(sha256="f" * 64)
    told("--no-wait")
    assert work() == 1
    assert AnalysisJob.objects.get(content_key="f" * 64).state == State.DONE


def test_new_checkpoint_in_the_middle_misses_nobody(old_posts, few_waiting, version):
    old_posts(8)
    orders.begin(Order())
    feeder.feed()
    work()
    version[0] = "newest@1"
    while Backfill.objects.active().exists() or orders.waiting():
        feeder.feed()
        Runner(FakeEngine(), FakeDecoders(), version="newest@1", sinks=[]).drain(max_seconds=20)
    assert AnalysisJob.objects.filter(pipeline_version="newest@1", state=State.DONE).count() == 8


def test_several_feeders_queue_each_post_once(old_posts):
    old_posts(60)
    orders.begin(Order())
    fed: list[int] = []

    def run() -> None:
        while Backfill.objects.active().exists():
            fed.append(feeder.feed())

    together(*[run] * 4)
    order = Backfill.objects.get()
    assert (sum(fed), order.queued, order.passed) == (60, 60, 60)
    assert present() == {(State.QUEUED, Priority.BACKFILL): 60}


def test_post_that_goes_away_meanwhile_stops_nothing(old_posts, monkeypatch):
    posts = old_posts(3)
    judged = feeder._judged

    def slow(*args, **kwargs):
        found = list(judged(*args, **kwargs))
        Post.objects.filter(pk=posts[1].pk).delete()
        return found

    monkeypatch.setattr(feeder, "_judged", slow)
    told("--no-wait")
    assert present() == {(State.QUEUED, Priority.BACKFILL): 2}


def test_rate_is_kept(old_posts):
    old_posts(10)
    orders.begin(Order(per_minute=120))
    assert feeder.feed() == 0
    Backfill.objects.update(paid_until=Now() - timedelta(seconds=2))
    assert feeder.feed() == 4
    assert feeder.feed() == 0


def test_dying_while_it_writes_changes_nothing(old_posts, monkeypatch):
    old_posts(4)
    orders.begin(Order())
    write = outbox.write_old

    def die(*args, **kwargs):
        write(*args, **kwargs)
        raise SystemExit

    monkeypatch.setattr(outbox, "write_old", die)
    with pytest.raises(SystemExit):
        feeder.feed()
    assert (Backfill.objects.get().cursor, orders.waiting()) == ("", 0)
    monkeypatch.undo()


def test_fault_of_the_backfill_is_told_and_keeps_no_worker_from_working(old_posts, monkeypatch):
    old_posts(1)
    orders.begin(Order(tags=("sword",)))

    def broken(**_):
        raise AttributeError("walk")

    monkeypatch.setattr("booru_ml.host.model_board.ModelBoard.walk", lambda self, **_: broken())
    feeder.feed_quietly()
    assert "AttributeError: walk" in told("--status")
    monkeypatch.undo()
