"""Memory ran out, or the GPU's context broke: a process that met it ends soon, and another one takes its place.

Any library in it may have been cut off in the middle of what it sets up once, and answer nothing but errors ever after;
a thread may be gone, a lock held for good. A context that a GPU's error broke refuses every later call. A new process
has none of that.
"""

from __future__ import annotations

import errno
import os
import signal
import sys
import threading

EXIT_STATUS = os.EX_TEMPFAIL
"""Of a process that ended by itself for want of memory: another one may have enough."""
END_SECONDS = 20
"""After which the kernel ends a process that should have ended by itself."""
# As libpq, CUDA and its libraries, ONNX Runtime, C++, Python's own threads and the loader of libraries say it.
_PHRASES = (
    "out of memory",
    "failed to allocate memory",
    "bad_alloc",
    "can't start new thread",
    "failed to map segment from shared object",
    "cuda error:",
    "cudnn error:",
    "cudnn_status_",
    "cublas_status_",
)


def spends(error: BaseException | None) -> bool:
    """Whether ``error``, or what led to it, is one after which this process had better end.

    An interpreter without memory for its exceptions loses them, and raises ``SystemError``.
    """
    while error is not None:
        if isinstance(error, MemoryError | SystemError) or (isinstance(error, OSError) and error.errno == errno.ENOMEM):
            return True
        said = str(error).lower()
        if any(phrase in said for phrase in _PHRASES):
            return True
        error = error.__cause__ or error.__context__
    return False


def end_soon() -> None:
    """Asks the kernel to end this process in ``END_SECONDS``, which works where nothing else does any more."""
    if not signal.getitimer(signal.ITIMER_REAL)[0]:
        signal.alarm(END_SECONDS)


def watch() -> None:
    """Notices from now on when that happens where nobody looks, and ends this process soon after.

    A thread may die of it at any time. One that dies as it starts is waited for without end (CPython 3.11), whether a
    library or this project started it.
    """
    died, unraisable = threading.excepthook, sys.unraisablehook

    def of_thread(said: threading.ExceptHookArgs) -> None:
        if spends(said.exc_value):
            end_soon()
        died(said)

    def of_nobody(said: sys.UnraisableHookArgs) -> None:
        if spends(said.exc_value):
            end_soon()
        unraisable(said)

    threading.excepthook, sys.unraisablehook = of_thread, of_nobody
