"""Worker processes die by ``kill -9``: their rows are taken by the next, and written once."""

from __future__ import annotations

import signal
import subprocess
import sys
import time

import psutil
import pytest

from booru_ml.models import AnalysisJob
from tests.faults.engine import BLUE
from tests.faults.pictures import drawing, heavy, plain
from tests.flows.conftest import ROOT, wait_for

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.redis]
WITHIN = 60


@pytest.mark.long
def test_killed_celery_child(crew, trial):
    crew.celery()
    with trial("Celery child dies", "kill -9 of one of two in the middle of a batch", within=WITHIN):
        crew.kill(crew.workers()[0])


def test_killed_celery_worker(crew, trial):
    crew.celery()
    with trial("Celery worker dies", "kill -9 of it and all its children, another one started", within=WITHIN):
        decoders = crew.decoders
        crew.kill_all()
        crew.celery()
        assert psutil.wait_procs(decoders, timeout=5)[1] == []  # nothing outlives it


@pytest.mark.long
def test_children_of_a_killed_celery_worker_leave_too(crew, trial):
    main = crew.celery()
    with trial("Celery's parent process dies", "kill -9 of the parent only, another worker started", within=WITHIN):
        left = psutil.Process(main.pid).children(recursive=True)
        crew.kill(main.pid)
        crew.celery()
        assert psutil.wait_procs(left, timeout=15)[1] == []


def test_children_leave_a_parent_that_died_before_it_heard_of_their_work(crew, uploads):
    """Billiard has each of them wait half a minute to be heard."""
    crew.use(RECONCILE_SECONDS=60)  # so that they work because they were told to
    main = crew.celery()
    wait_for(lambda: len(crew.workers()) == 2)
    children = [psutil.Process(pid) for pid in crew.workers()]
    uploads.many(20, lambda: plain(BLUE))
    wait_for(lambda: AnalysisJob.objects.filter(state="running").exists())
    main.send_signal(signal.SIGSTOP)
    wait_for(lambda: not AnalysisJob.objects.unfinished().exists(), 60)
    crew.kill(main.pid)
    assert psutil.wait_procs(children, timeout=12)[1] == []
    assert crew.workers() == []


def test_worker_without_children_outlives_the_shell_that_started_it(crew):
    worker = f"{sys.executable} -m celery -A tests.faults.worker_app worker -P solo & wait"
    shell = subprocess.Popen(["sh", "-c", worker], env=crew.environment, cwd=ROOT, start_new_session=True)
    wait_for(lambda: len(crew.workers()) == 1)
    started = psutil.Process(crew.workers()[0])
    crew.met.add(started)
    shell.kill()
    shell.wait()
    assert psutil.wait_procs([started], timeout=3)[1] == [started]


@pytest.mark.long
def test_killed_worker_command(crew, trial):
    crew.command()
    with trial("booru_worker dies", "kill -9 in the middle of a batch, another one started", within=WITHIN):
        crew.kill_all()
        crew.command()


@pytest.mark.long
def test_killed_process_of_several(crew, trial):
    crew.command("--processes", "2")
    with trial("process of booru_worker --processes 2 dies", "kill -9 in the middle of a batch", within=WITHIN):
        crew.kill(crew.workers()[0])


def test_processes_of_a_killed_parent_leave_too(crew, trial):
    main = crew.command("--processes", "2")
    with trial("parent of booru_worker --processes 2 dies", "kill -9, another one started", within=WITHIN):
        left = psutil.Process(main.pid).children(recursive=True)
        crew.kill(main.pid)
        crew.command("--processes", "2")
        assert psutil.wait_procs(left, timeout=15)[1] == []


@pytest.mark.long
def test_killed_decoders(crew, trial):
    crew.command()
    with trial("warm decoder dies", "kill -9 of every one, ten times over", within=WITHIN) as run:
        for _ in range(10):
            crew.kill(*(decoder.pid for decoder in crew.decoders))
            time.sleep(0.15)
    assert run.account.done == run.account.uploaded


def test_killed_decoding_of_a_picture(crew, trial):
    crew.command()
    with trial(
        "decoding of a picture dies", "kill -9 of the forked decoder", within=WITHIN, in_flight=4, make=heavy
    ) as run:
        crew.kill(crew.fork())
    assert run.account.done == run.account.uploaded


@pytest.mark.long
@pytest.mark.parametrize("kind", ["celery", "command"])
def test_killed_worker_with_the_shipped_checkpoints(crew, trial, kind):
    crew.use(engine="untouched")
    start = crew.celery if kind == "celery" else crew.command
    start()
    said = "Celery worker" if kind == "celery" else "booru_worker"
    with trial(
        f"{said} with the shipped checkpoints dies", "kill -9, another one started", within=WITHIN, make=drawing
    ):
        crew.kill_all()
        start()


@pytest.mark.parametrize("kind", ["celery", pytest.param("command", marks=pytest.mark.long)])
def test_told_to_stop_under_load(crew, uploads, kind):
    process = crew.celery() if kind == "celery" else crew.command("--processes", "2")
    uploads.one()
    wait_for(lambda: not AnalysisJob.objects.unfinished().exists(), 60)
    uploads.many(100, lambda: plain(BLUE))
    wait_for(lambda: AnalysisJob.objects.filter(state="running").exists())
    begun = time.monotonic()
    process.send_signal(signal.SIGTERM)
    process.wait(timeout=15)
    assert time.monotonic() - begun < 10
    assert set(AnalysisJob.objects.values_list("state", "attempts")) <= {("done", 1), ("queued", 0)}
    assert AnalysisJob.objects.unfinished().exists()  # it did not stop because there was nothing left
