"""Memory runs out: in the worker, in the networks, on the device."""

from __future__ import annotations

import time

import pytest

from booru_ml.models import AnalysisJob
from tests.faults.engine import ORANGE, PURPLE, YELLOW
from tests.faults.pictures import plain
from tests.faults.test_pictures import outcome

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.redis]
State = AnalysisJob.State


@pytest.mark.parametrize("kind", ["celery", pytest.param("command", marks=pytest.mark.long)])
def test_worker_out_of_memory(crew, trial, kind):
    """For real: the kernel gives the running processes no byte more, until it does again."""
    crew.celery() if kind == "celery" else crew.command("--processes", "2")
    said = "Celery worker" if kind == "celery" else "booru_worker --processes 2"
    with trial(
        f"{said} is out of memory", "RLIMIT_AS of its processes lowered to what they have, for 4 s", within=60
    ) as run:
        feed = crew.starve()
        time.sleep(4)
        feed()
        run.outage_over()
    assert run.account.done == run.account.uploaded


@pytest.mark.long
def test_picture_that_needs_more_memory_than_there_is(crew, uploads, trial):
    crew.command()
    with trial("MemoryError in the networks", "for one picture, each time it is tried", within=60):
        poison = uploads.one(plain(YELLOW))
    assert outcome(poison) == (State.QUARANTINED, 3, "out_of_memory")
    assert set(AnalysisJob.objects.exclude(post=poison).values_list("state", "attempts")) == {(State.DONE, 1)}


def test_device_out_of_memory_halves_the_batch(crew, uploads, trial):
    crew.command()
    with trial("GPU out of memory", "any batch with more than four large pictures fails", within=60) as run:
        large = uploads.many(20, lambda: plain(ORANGE))
    assert run.account.done == run.account.uploaded
    assert set(AnalysisJob.objects.filter(post__in=large).values_list("attempts", flat=True)) == {1}


@pytest.mark.long
def test_picture_larger_than_the_device_fails_alone(crew, uploads, trial):
    crew.command()
    with trial("GPU too small for one picture", "any batch with it fails", within=60):
        poison = uploads.one(plain(PURPLE))
    assert outcome(poison) == (State.QUARANTINED, 3, "out_of_memory")
    assert set(AnalysisJob.objects.exclude(post=poison).values_list("state", "attempts")) == {(State.DONE, 1)}
