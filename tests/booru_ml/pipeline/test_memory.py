"""A process without memory ends, whatever still works in it."""

from __future__ import annotations

import subprocess
import sys

import pytest

from booru_ml.pipeline import memory
from booru_ml.pipeline.outcomes import WorkerFault


def caused(by: BaseException) -> WorkerFault:
    try:
        raise WorkerFault("Results cannot be stored") from by
    except WorkerFault as fault:
        return fault


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        OSError(12, "Cannot allocate memory"),
        RuntimeError("can't start new thread"),
        RuntimeError("Failed to allocate memory for requested buffer of size 12845056"),
        RuntimeError("std::bad_alloc"),
        SystemError("error return without exception set"),
        ImportError("_bounded_integers.so: failed to map segment from shared object"),
        RuntimeError("CUDA error: an illegal memory access was encountered"),
        RuntimeError("cuDNN error: CUDNN_STATUS_EXECUTION_FAILED"),
        RuntimeError("CUDA error: CUBLAS_STATUS_NOT_INITIALIZED when calling `cublasCreate(handle)`"),
    ],
)
def test_what_spends_a_process_is_known_behind_other_errors(error):
    assert memory.spends(error)
    assert memory.spends(caused(error))


@pytest.mark.parametrize("error", [None, OSError(28, "No space left on device"), KeyError("en-us"), ValueError()])
def test_other_errors_are_something_else(error):
    assert not memory.spends(error)


PROGRAM = """
import threading, time
from booru_ml.pipeline import memory
memory.END_SECONDS = 1
memory.watch()
def die():
    raise {error}
threading.Thread(target=die).start()
time.sleep({seconds})
"""


@pytest.mark.parametrize(("error", "seconds", "code"), [("MemoryError", 60, -14), ("KeyError", 1.5, 0)])
def test_process_ends_after_a_thread_died_for_want_of_memory(error, seconds, code):
    ended = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(error=error, seconds=seconds)], stderr=subprocess.PIPE, timeout=30
    )
    assert ended.returncode == code
    assert error.encode() in ended.stderr  # it is told as ever


STILLBORN = """
import _thread, threading
from booru_ml.pipeline import memory
memory.END_SECONDS = 1
memory.watch()
def die(*_):
    raise MemoryError
threading.Thread._bootstrap = die
threading.Thread(target=print).start()
"""


def test_process_that_waits_for_a_stillborn_thread_ends():
    ended = subprocess.run([sys.executable, "-c", STILLBORN], stderr=subprocess.PIPE, timeout=30)
    assert ended.returncode == -14
    assert b"MemoryError" in ended.stderr


def test_asking_twice_puts_nothing_off():
    program = """
import time
from booru_ml.pipeline import memory
memory.END_SECONDS = 1
while True:
    memory.end_soon()
    time.sleep(0.2)
"""
    assert subprocess.run([sys.executable, "-c", program], timeout=30).returncode == -14
