"""Pools in every kind of process that a worker may be."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import threading
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

from booru_ml.pipeline.images import DecoderPool
from tests.booru_ml.images.test_guard import GOOD, LIMITS, alive, children, wait_until_gone, works


def in_worker(pipe: Connection, pool: DecoderPool | None = None) -> None:
    with pool or DecoderPool(workers=1, limits=LIMITS) as decoders:
        worked = works(decoders)
        pipe.send((worked, sorted(children())))


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_a_pool_works_inside_a_daemonic_worker(method: str) -> None:
    context = multiprocessing.get_context(method)
    ours, theirs = context.Pipe()
    worker = context.Process(target=in_worker, args=(theirs,), daemon=True)
    worker.start()
    assert ours.poll(60)
    worked, decoders = ours.recv()
    worker.join(30)
    assert worked
    assert worker.exitcode == 0
    assert not any(alive(pid) for pid in decoders)


def test_a_forked_process_starts_decoders_of_its_own_and_leaves_the_parents_alone() -> None:
    with DecoderPool(workers=1, limits=LIMITS) as pool:
        assert works(pool)
        ours_before = children()
        context = multiprocessing.get_context("fork")
        ours, theirs = context.Pipe()
        worker = context.Process(target=in_worker, args=(theirs, pool))
        worker.start()
        assert ours.poll(60)
        worked, theirs_started = ours.recv()
        worker.join(30)
        assert worked
        assert worker.exitcode == 0
        assert not set(theirs_started) & ours_before
        assert works(pool)
        assert children() == ours_before


def test_many_threads_share_a_pool() -> None:
    results: list[bool] = []
    with DecoderPool(workers=2, limits=LIMITS) as pool:
        threads = [threading.Thread(target=lambda: results.append(works(pool))) for _ in range(16)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
    assert results == [True] * 16


def test_a_parent_that_ignores_its_children_gets_pictures_all_the_same() -> None:
    before = signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    try:
        with DecoderPool(workers=1, limits=LIMITS) as pool:
            assert works(pool)
            assert works(pool)
    finally:
        signal.signal(signal.SIGCHLD, before)


PARENT = f"""
import io, os, sys, time
from booru_ml.pipeline.images import DecoderPool
pool = DecoderPool(workers=1)
assert pool.submit(io.BytesIO({GOOD!r})).result().width == 8
print(open(f"/proc/self/task/{{os.getpid()}}/children").read(), *(open(f"/proc/self/task/{{t}}/children").read()
      for t in os.listdir("/proc/self/task")), flush=True)
{{end}}
"""


@pytest.mark.parametrize("end", ["time.sleep(600)", "sys.exit(0)", "os._exit(1)"])
def test_decoders_end_with_their_parent_however_it_ends(end: str) -> None:
    parent = subprocess.Popen([sys.executable, "-c", PARENT.replace("{end}", end)], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    decoders = {int(pid) for pid in parent.stdout.readline().split()}
    assert decoders
    if "sleep" in end:
        os.kill(parent.pid, signal.SIGKILL)
    parent.wait(30)
    parent.stdout.close()
    assert all(wait_until_gone(pid) for pid in decoders)


def test_an_idle_decoder_is_small() -> None:
    others = children()
    with DecoderPool(workers=1, limits=LIMITS) as pool:
        assert works(pool)
        (warm,) = children() - others
        resident = int(Path(f"/proc/{warm}/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE")
    assert resident < 60 * 2**20
