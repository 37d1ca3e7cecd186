from __future__ import annotations

import io
import signal
import subprocess
import sys
import threading
from collections import Counter
from datetime import timedelta

import pytest
from django.core.management import CommandError, call_command
from django.db import connection, connections
from django.db.models import Sum
from django.db.models.functions import Now

from booru_ml.errors import StaleState
from booru_ml.models import AnalysisJob, Backfill, Worker
from booru_ml.pipeline import feeder, orders, outbox
from booru_ml.pipeline.backfill import Order
from booru_ml.pipeline.runner import Runner
from deploy.demo.board.models import Post, Tag
from tests.booru_ml.pipeline.fakes import VERSION, FakeDecoders, FakeEngine
from tests.flows.conftest import wait_for

pytestmark = pytest.mark.django_db(transaction=True)
State, Priority = AnalysisJob.State, AnalysisJob.Priority
OLD = "older@1"


@pytest.fixture(autouse=True)
def version(monkeypatch) -> list[str]:
    present = [VERSION]
    monkeypatch.setattr("booru_ml.registry.pipeline_version", lambda: present[0])
    return present


@pytest.fixture
def few_waiting(settings):
    settings.BOORU_ML = {**settings.BOORU_ML, "BACKFILL_WAITING": 5}


@pytest.fixture
def old_posts(upload, rings):
    """Posts that an older version analysed."""

    def make(count: int) -> list[Post]:
        posts = [upload() for _ in range(count)]
        AnalysisJob.objects.filter(post__in=posts).update(
            state=State.DONE, pipeline_version=OLD, finished_at=Now(), started_at=Now()
        )
        return posts

    return make


def work() -> int:
    return Runner(FakeEngine(), FakeDecoders(), version=VERSION, sinks=[]).drain(max_seconds=20)


def told(*args: str, **options) -> str:
    out = io.StringIO()
    call_command("booru_backfill", *args, stdout=out, stderr=out, **options)
    return out.getvalue()


def present() -> Counter[tuple[str, int]]:
    rows = AnalysisJob.objects.filter(pipeline_version=VERSION)
    return Counter(rows.values_list("state", "priority"))


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
        connections.close_all()

    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
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


def test_paused_feeds_nothing_and_goes_on_where_it_was(old_posts, few_waiting):
    old_posts(8)
    told("--background")
    told("--pause")
    work()
    assert feeder.feed() == 0
    with pytest.raises(CommandError, match="Another backfill is paused: every post"):
        told("--limit", "3")
    told("--resume", "--background")
    work()
    assert present()[State.DONE, Priority.BACKFILL] == 8


def test_cancelled_queues_no_more_and_makes_room_for_another(old_posts, few_waiting):
    old_posts(8)
    told("--background")
    assert "Cancelled" in told("--cancel")
    work()
    assert feeder.feed() == 0
    with pytest.raises(StaleState):
        orders.resume()
    told("--limit", "2", "--background")
    assert work() == 2


def test_ctrl_c_pauses(old_posts, few_waiting, monkeypatch):
    old_posts(8)
    fed = feeder.feed

    def interrupted(**kwargs):
        if orders.waiting():
            raise KeyboardInterrupt
        return fed(**kwargs)

    monkeypatch.setattr(feeder, "feed", interrupted)
    out = told()
    assert "Paused. Go on with --resume" in out
    assert Backfill.objects.get().state == Backfill.State.PAUSED
    assert orders.waiting() == 5


def test_one_active_backfill_at_most(old_posts):
    old_posts(1)
    first = orders.begin(Order())
    assert orders.begin(Order(per_minute=5)).pk == first.pk
    with pytest.raises(StaleState):
        orders.begin(Order(limit=1))


def test_workers_go_on_with_it_by_themselves(old_posts, few_waiting):
    from booru_ml.pipeline.worker import Worker as Process

    old_posts(12)
    told("--background")
    process = Process(engine=FakeEngine, decoders=FakeDecoders)
    for _ in range(3):
        process.heartbeat()
        process.drain()
    process.close()
    assert present() == {(State.DONE, Priority.BACKFILL): 12}


def test_fault_of_the_backfill_is_told_and_keeps_no_worker_from_working(old_posts, monkeypatch):
    old_posts(1)
    orders.begin(Order(tags=("sword",)))

    def broken(**_):
        raise AttributeError("walk")

    monkeypatch.setattr("booru_ml.host.model_board.ModelBoard.walk", lambda self, **_: broken())
    feeder.feed_quietly()
    assert "AttributeError: walk" in told("--status")
    monkeypatch.undo()


@pytest.mark.parametrize(
    ("wrong", "hint"),
    [
        (["--since", "yesterday"], "2026-01-31"),
        (["--rate", "fast"], "30/min"),
        (["--limit", "0"], "1 or more"),
        (["--model", "nobody"], "Known versions: older@1"),
        (["--model", VERSION], "No post was analysed"),
        (["--pause", "--limit", "1"], "no further wishes"),
        (["--pause"], "no backfill under way"),
    ],
)
def test_wrong_wishes_are_explained(old_posts, wrong, hint):
    old_posts(1)
    with pytest.raises(CommandError, match=hint):
        told(*wrong)


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


def test_killed_and_run_again_nothing_is_doubled_or_missed(old_posts, few_waiting):
    """The real command, killed as soon as it has queued something, and once more; the third time it may end."""
    posts = old_posts(30)
    Worker.objects.create(name="here:1")  # somebody to wait for
    script = (
        "import django; django.setup()\n"
        "from booru_ml import registry; from django.conf import settings\n"
        f"registry.pipeline_version = lambda: {VERSION!r}\n"
        f"settings.DATABASES['default']['NAME'] = {str(connection.settings_dict['NAME'])!r}\n"
        "settings.BOORU_ML['BACKFILL_WAITING'] = 5\n"
        "from django.core.management import call_command; call_command('booru_backfill')\n"
    )
    for _ in range(2):
        work()
        before = Backfill.objects.aggregate(n=Sum("queued", default=0))["n"]
        with subprocess.Popen([sys.executable, "-c", script], stderr=subprocess.DEVNULL) as command:
            try:
                wait_for(lambda: Backfill.objects.filter(queued__gt=before).exists(), 60)  # noqa: B023
            finally:
                command.send_signal(signal.SIGKILL)
    while Backfill.objects.active().exists():
        told("--background")
        work()
    assert Backfill.objects.get().queued == 30
    rows = AnalysisJob.objects.filter(pipeline_version=VERSION, state=State.DONE, attempts=1)
    assert Counter(rows.values_list("post_id", flat=True)) == Counter(post.pk for post in posts)
