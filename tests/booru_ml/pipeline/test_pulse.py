"""Processes that end are noticed by the kernel's word, and their rows are free at once."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest
from django.db import connection
from django.db.models.functions import Now

from booru_ml.models import AnalysisJob
from booru_ml.pipeline import leases, pulse
from booru_ml.pipeline.worker import Worker
from tests.booru_ml.pipeline.fakes import VERSION, FakeDecoders, FakeEngine

pytestmark = pytest.mark.django_db(transaction=True)
State = AnalysisJob.State

PROGRAM = """
import sys, time
import django
django.setup()
from django.db import connections
connections["default"].settings_dict["NAME"] = sys.argv[1]
from booru_ml.pipeline import pulse
pulse.begin()
print(pulse.token().int, flush=True)
time.sleep(120)
"""


@pytest.fixture(autouse=True)
def own_folder(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    yield
    pulse.end()


@pytest.fixture
def other(tmp_path):
    """Another process that is a worker of this board, and one of its tokens."""
    environment = {**os.environ, "TMPDIR": str(tmp_path), "DJANGO_SETTINGS_MODULE": "tests.settings"}
    command = [sys.executable, "-c", PROGRAM, str(connection.settings_dict["NAME"])]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        yield process, pulse.uuid.UUID(int=int(process.stdout.readline()))
        process.kill()


def end(process: subprocess.Popen[str], number: signal.Signals) -> None:
    process.send_signal(number)
    process.wait()


def test_living_process_is_left_alone_and_a_dead_one_is_reported_once(other):
    process, token = other
    assert list(pulse.dead()) == []
    end(process, signal.SIGKILL)
    assert list(pulse.dead()) == [pulse.taken_by(token)]
    assert list(pulse.dead()) == []


def test_one_that_stands_still_lives(other):
    process, _ = other
    process.send_signal(signal.SIGSTOP)
    time.sleep(0.1)
    assert list(pulse.dead()) == []


def test_whoever_fails_to_free_the_rows_leaves_it_to_the_next(other):
    process, token = other
    end(process, signal.SIGKILL)
    found = pulse.dead()
    assert next(found) == pulse.taken_by(token)
    found.close()  # as an error in the loop's body does
    assert list(pulse.dead()) == [pulse.taken_by(token)]


def test_own_file_stays_locked_while_others_are_looked_for(other):
    pulse.begin()
    list(pulse.dead())
    look = "import os, fcntl, sys; fcntl.lockf(os.open(sys.argv[1], os.O_RDWR), fcntl.LOCK_EX | fcntl.LOCK_NB)"
    (mine,) = [file for file in pulse._folder().iterdir() if int(file.stem, 16) == pulse.taken_by(pulse.token())]
    assert subprocess.run([sys.executable, "-c", look, mine], stderr=subprocess.PIPE).returncode == 1
    pulse.end()
    assert not mine.exists()


def test_the_last_one_leaves_nothing_behind(tmp_path, other):
    process, _ = other
    pulse.begin()
    pulse.end()
    assert len(list(pulse._folder().iterdir())) == 1
    end(process, signal.SIGKILL)
    pulse.begin()
    list(pulse.dead())
    pulse.end()
    assert list(tmp_path.iterdir()) == []


def test_where_nothing_can_be_locked_it_is_tried_again(monkeypatch):
    def fail(*_: object) -> None:
        raise OSError("no locks here")

    with monkeypatch.context() as broken:
        broken.setattr(pulse.fcntl, "lockf", fail)
        pulse.begin()
        assert list(pulse._folder().iterdir()) == []
    pulse.begin()
    assert len(list(pulse._folder().iterdir())) == 1


def test_forked_process_has_a_number_of_its_own():
    pulse.begin()
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(writer, str(pulse.token().int).encode())
        os._exit(0)
    os.waitpid(child, 0)
    theirs = pulse.uuid.UUID(int=int(os.read(reader, 100)))
    assert pulse.taken_by(theirs) != pulse.taken_by(pulse.token())


def test_folder_of_somebody_else_is_not_used(tmp_path, monkeypatch):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    place = pulse._folder()
    place.rmdir()
    place.symlink_to(elsewhere)
    pulse.begin()
    assert list(pulse.dead()) == []
    assert list(elsewhere.iterdir()) == []


def test_rows_of_a_worker_that_died_are_worked_on_at_once(upload, other):
    process, token = other
    posts = [upload() for _ in range(3)]
    jobs = leases.claim(limit=3, version=VERSION)
    AnalysisJob.objects.filter(pk__in=[job.pk for job in jobs]).update(lease_token=token)
    mine = Worker(engine=FakeEngine, decoders=FakeDecoders)
    assert mine.drain() == 0  # it lives
    end(process, signal.SIGKILL)
    assert mine.drain() == 3
    assert set(AnalysisJob.objects.filter(post__in=posts).values_list("state", "attempts")) == {(State.DONE, 2)}
    mine.close()


def test_rows_that_were_tried_before_keep_their_pause(upload, other):
    process, token = other
    upload()
    leases.claim(limit=1, version=VERSION)
    AnalysisJob.objects.update(lease_token=token, attempts=2)
    end(process, signal.SIGKILL)
    mine = Worker(engine=FakeEngine, decoders=FakeDecoders)
    assert mine.drain() == 0
    assert not AnalysisJob.objects.filter(lease_until__lt=Now()).exists()
    mine.close()


def test_rows_of_others_are_nobodys_business(upload, other):
    process, token = other
    upload()
    leases.claim(limit=1, version=VERSION)  # by this very process
    end(process, signal.SIGKILL)
    assert leases.free(pulse.taken_by(token)) == 0
