"""A backfill as it is ordered: begun, paused, cancelled, killed, gone on with."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections import Counter

import pytest
from django.core.management import CommandError
from django.db import connection
from django.db.models import Sum

from booru_ml.errors import StaleState
from booru_ml.models import AnalysisJob, Backfill, Worker
from booru_ml.pipeline import feeder, orders
from booru_ml.pipeline.backfill import Order
from tests.booru_ml.pipeline.backfills import present, told, work
from tests.booru_ml.pipeline.fakes import VERSION, FakeDecoders, FakeEngine
from tests.flows.conftest import wait_for

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("version")]
State, Priority = AnalysisJob.State, AnalysisJob.Priority


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
