"""Pictures that kill, among good ones; and a set of real odd and malicious files through one and the same worker."""

from __future__ import annotations

import csv
import time
from pathlib import Path

import psutil
import pytest

from booru_ml.errors import BooruError
from booru_ml.models import AnalysisJob
from tests.faults.accounts import settle
from tests.faults.engine import RED
from tests.faults.pictures import drawing, plain
from tests.faults.trial import finished
from tests.flows.conftest import wait_for

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.redis]
State = AnalysisJob.State


@pytest.mark.long
def test_poison_among_good_pictures(crew, uploads, trial):
    crew.celery()
    with trial("a picture kills its worker", "one that does so each time, among good ones", within=150) as run:
        poison = uploads.one(plain(RED))
        run.outage_over()
    assert outcome(poison) == (State.QUARANTINED, 3, "crashed")
    assert run.account.done == run.account.uploaded - 1


@pytest.mark.long
def test_good_pictures_are_hardly_slower_beside_poison(crew, uploads):
    """3,000 drawings by the shipped checkpoints in two processes, without and with a picture that kills three times."""
    crew.use(engine="shipped")
    crew.command("--processes", "2")
    uploads.many(8, drawing)
    wait_for(finished(uploads.posts), 120)
    seconds = []
    for poisoned in (False, True):
        crew.signal_all(psutil.signal.SIGSTOP)
        posts = uploads.many(1500, drawing)
        poison = [uploads.one(plain(RED))] if poisoned else []
        posts += uploads.many(1500, drawing)
        crew.signal_all(psutil.signal.SIGCONT)
        begun = time.monotonic()
        wait_for(finished(posts), 400)
        seconds.append(time.monotonic() - begun)
        wait_for(finished(poison), 200)
    print(f"without poison {seconds[0]:.1f} s, with poison {seconds[1]:.1f} s")
    assert outcome(poison[0]) == (State.QUARANTINED, 3, "crashed")
    assert seconds[1] <= 1.1 * seconds[0]


@pytest.mark.parametrize("kind", ["celery", pytest.param("command", marks=pytest.mark.long)])
def test_hostile_files_do_not_end_the_worker(crew, uploads, data_dir, kind):
    crew.use(engine="untouched")
    main = crew.celery() if kind == "celery" else crew.command()
    uploads.one()
    wait_for(finished(uploads.posts), 60)
    before = crew.lasting(main.pid)
    with (data_dir / "hostile" / "manifest.csv").open(newline="") as manifest:
        rows = list(csv.DictReader(manifest))
    refused_by_board = []
    posts: dict[str, int] = {}
    for row in rows:
        try:
            posts[row["path"]] = uploads.one(Path(data_dir, "hostile", row["path"]).read_bytes())
        except BooruError as error:  # the board itself takes no empty file and no file twice
            refused_by_board.append((row["path"], error.code))
    wait_for(finished(uploads.posts), 300)
    account = settle(uploads.posts)
    assert (account.lost, account.doubled, account.quarantined) == ((), (), 0)
    assert len(posts) + len(refused_by_board) == len(rows)
    assert {code for _, code in refused_by_board} <= {"empty", "duplicate"}
    states = dict(AnalysisJob.objects.values_list("post_id", "state"))
    for row in rows:
        if row["path"] in posts and row["expect"] != "either":
            expected = State.REFUSED if row["expect"] == "reject" else State.DONE
            assert states[posts[row["path"]]] == expected, row
    assert crew.lasting(main.pid) == before


def outcome(post: int) -> tuple[str, int, str]:
    job = AnalysisJob.objects.get(post=post)
    return job.state, job.attempts, job.code
