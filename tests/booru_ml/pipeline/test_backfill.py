"""The rules alone; ``test_feeder`` and ``test_orders`` show them at work on rows."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from booru_ml.errors import InvalidInput
from booru_ml.models import AnalysisJob, Backfill
from booru_ml.pipeline.backfill import Past, Verdict, allowance, eta_seconds, goal, judge, paid, per_minute, reached

State = AnalysisJob.State
NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
OLD, NEW = "net@1", "net@2"


def job(pk: int, version: str, state: str, code: str = "") -> Past:
    ended = None if state in (State.QUEUED, State.RUNNING) else NOON + timedelta(minutes=pk)
    return Past(pk, version, state, code, ended)


@pytest.mark.parametrize(
    ("past", "verdict"),
    [
        ([], Verdict.NEEDED),
        ([job(1, OLD, State.DONE)], Verdict.NEEDED),
        ([job(1, NEW, State.DONE)], Verdict.KNOWN),
        ([job(1, NEW, State.QUEUED)], Verdict.KNOWN),
        ([job(1, OLD, State.RUNNING)], Verdict.KNOWN),
        ([job(1, NEW, State.QUARANTINED, "engine_failed")], Verdict.KNOWN),
        ([job(1, OLD, State.QUARANTINED, "engine_failed")], Verdict.NEEDED),
        ([job(1, OLD, State.QUARANTINED, "picture_missing")], Verdict.REFUSED),
        ([job(1, OLD, State.REFUSED, "corrupt")], Verdict.REFUSED),
        ([job(1, NEW, State.REFUSED, "corrupt")], Verdict.REFUSED),
        ([job(1, OLD, State.REFUSED, "timeout"), job(2, OLD, State.DONE)], Verdict.NEEDED),
        ([job(1, NEW, State.DONE), job(2, OLD, State.DONE)], Verdict.AGAIN),
        ([job(1, NEW, State.DONE, "superseded"), job(2, OLD, State.DONE)], Verdict.AGAIN),
    ],
)
def test_post_is_queued_only_where_this_version_has_something_to_say(past, verdict):
    assert judge(past, version=NEW)[0] is verdict


def test_refused_pictures_run_again_where_that_is_asked_for():
    assert judge([job(1, OLD, State.REFUSED)], version=NEW, refused=True) == (Verdict.NEEDED, None)
    assert judge([job(7, NEW, State.REFUSED)], version=NEW, refused=True) == (Verdict.AGAIN, 7)
    assert judge([job(7, NEW, State.QUARANTINED, "x")], version=NEW, refused=True)[0] is Verdict.KNOWN


def test_model_means_the_one_that_analysed_the_post_last():
    earlier, later = job(1, "a@1", State.DONE), job(2, "b@1", State.DONE)
    assert judge([earlier, later], version=NEW, model="b")[0] is Verdict.NEEDED
    assert judge([earlier, later], version=NEW, model="a@1")[0] is Verdict.OTHER
    assert judge([], version=NEW, model="a")[0] is Verdict.OTHER
    replaced = job(3, "a@1", State.DONE, "superseded")
    assert judge([earlier, later, replaced], version=NEW, model="a")[0] is Verdict.OTHER


@pytest.mark.parametrize(("text", "rate"), [("30/min", 30), ("2/s", 120), ("600/h", 10), ("0.5 / sec", 30)])
def test_rates_are_read(text, rate):
    assert per_minute(text) == pytest.approx(rate)


@pytest.mark.parametrize("text", ["30", "0/min", "-1/s", "fast", "1/day", "1/s/s", ""])
def test_what_is_no_rate_is_refused_with_an_example(text):
    with pytest.raises(InvalidInput, match="30/min"):
        per_minute(text)


@pytest.mark.parametrize("poll", [0.1, 0.7, 15])
def test_rate_holds_however_often_it_is_asked_for(poll):
    paid_until, queued = NOON, 0
    for step in range(int(600 / poll)):
        now = NOON + timedelta(seconds=poll * (step + 1))
        if room := allowance(40, paid_until=paid_until, now=now):
            queued += room
            paid_until = paid(room, 40, paid_until=paid_until, now=now)
    assert 395 <= queued <= 400


def test_a_long_pause_does_not_end_in_a_flood():
    assert allowance(40, paid_until=NOON, now=NOON + timedelta(days=3)) == 40


def order(**values) -> Backfill:
    return Backfill(**{"state": "running", "total": 1000, "passed": 0, "queued": 0, **values})


def test_time_left_follows_the_share_of_posts_that_needed_a_look():
    half = order(passed=500, queued=50)
    assert eta_seconds(half, waiting=10, rate=60) == pytest.approx(60)
    assert eta_seconds(order(passed=500, queued=50, per_minute=6), waiting=10, rate=60) == pytest.approx(600)
    assert eta_seconds(order(passed=500, queued=50, limit=80), waiting=0, rate=60) == pytest.approx(30)
    assert eta_seconds(order(passed=1000, state="finished"), waiting=0, rate=0) == 0
    assert eta_seconds(half, waiting=10, rate=0) is None
    begun_anew = order(passed=10, queued=500)
    assert eta_seconds(begun_anew, waiting=0, rate=60) == pytest.approx(990)


def test_a_slow_rate_saves_up_for_a_picture():
    half = per_minute("30/h")
    assert allowance(half, paid_until=NOON, now=NOON + timedelta(seconds=110)) == 0
    assert allowance(half, paid_until=NOON, now=NOON + timedelta(minutes=2)) == 1
    assert paid(1, half, paid_until=NOON, now=NOON + timedelta(minutes=2)) == NOON + timedelta(minutes=2)
    for text in ("9" * 400 + "/h", "0.0001/h"):
        with pytest.raises(InvalidInput, match="A rate is"):
            per_minute(text)


def test_progress_counts_what_was_worked_off():
    assert reached(order(passed=500, queued=500), waiting=100) == 400
    assert reached(order(passed=500, queued=20, limit=50), waiting=5) == 15
    assert reached(order(passed=990, state="finished"), waiting=0) == 1000
    # Twenty were asked for, three needed it.
    ended = order(passed=1000, queued=3, limit=20, state="finished")
    assert (reached(ended, waiting=1), reached(ended, waiting=0), goal(ended)) == (2, 3, 3)
