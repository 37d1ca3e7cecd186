"""A worker whose clock is an hour fast or slow takes no lease that is not its to take."""

from __future__ import annotations

import pytest

from booru_ml.models import AnalysisJob
from tests.faults.engine import BLUE
from tests.faults.pictures import plain

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.redis]
HOUR = 3600


def test_clocks_an_hour_apart_either_way(crew, trial):
    for shift in (HOUR, -HOUR, 0):
        crew.use(clock=shift)
        crew.command()
    crew.use(clock=HOUR)
    crew.celery()
    with trial(
        "clocks disagree",
        "workers an hour fast, an hour slow and right, on slow pictures",
        within=60,
        make=lambda: plain(BLUE),
    ):
        pass
    assert set(AnalysisJob.objects.values_list("state", "attempts")) == {("done", 1)}


@pytest.mark.long
@pytest.mark.parametrize("shift", [HOUR, -HOUR])
def test_worker_with_a_wrong_clock_takes_over_from_a_dead_one(crew, trial, shift):
    crew.command()
    said = "fast" if shift > 0 else "slow"
    with trial("worker dies, clocks disagree", f"kill -9; the next one is an hour {said}", within=60):
        crew.kill_all()
        crew.use(clock=shift)
        crew.command()
