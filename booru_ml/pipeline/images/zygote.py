"""The parent's handle of one warm decoding process. Used by one thread at a time."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

from booru_ml.errors import Unavailable
from booru_ml.pipeline.images import wire
from booru_ml.pipeline.images.limits import MIB, Limits

START_SECONDS = 60.0
_TUNABLES = {"hugetlb": 1, "mmap_threshold": 32 * MIB, "trim_threshold": 256 * MIB}
ALLOCATOR = {"GLIBC_TUNABLES": ":".join(f"glibc.malloc.{name}={value}" for name, value in _TUNABLES.items())}
"""For glibc, when a process starts. Large pages: an eighth less time to decode. The thresholds keep one picture's
memory for the next, so that the kernel has a third of the pages to clear."""
_ALONE = {"OPENBLAS_NUM_THREADS": "1"}
"""NumPy, which comes with a decoder, would start threads that a fork leaves behind."""
# Isolated from the environment and the working folder, but with exactly this process's packages.
MAIN = (
    "import json, sys; arguments = json.loads(sys.argv[1]); sys.path[:] = arguments['path']; "
    "from booru_ml.pipeline.images.child import main; main(arguments)"
)


class Died(Exception):
    """The warm process itself is gone; whether the picture killed it is not known."""


class Zygote:
    """Starts the process in the calling thread, with whose end it dies too. Raises ``Unavailable`` where it cannot."""

    def __init__(self, limits: Limits, *, source: int, target: int) -> None:
        """``source`` and ``target``: descriptors of the memory for pictures and answers; they stay the caller's."""
        self._limits = limits
        try:
            self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            with theirs:
                self._process = self._spawn(theirs.fileno(), source, target)
        except OSError as error:
            raise Unavailable(f"The picture decoder cannot be started: {error}.") from error
        self._control.settimeout(START_SECONDS)
        try:
            ready = self._control.recv(len(wire.READY))
        except OSError:
            ready = b""
        if ready != wire.READY:
            self.close()
            raise Unavailable("The picture decoder does not start; the log of this process says why.")

    def _spawn(self, control: int, source: int, target: int) -> subprocess.Popen[bytes]:
        arguments = {
            "path": [str(Path(entry or ".").resolve()) for entry in sys.path],
            "socket": control,
            "source": source,
            "target": target,
            "parent": os.getpid(),
            "limits": self._limits.as_dict(),
        }
        return subprocess.Popen(
            [_python(), "-I", "-c", MAIN, json.dumps(arguments)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            env=_environment(),
            pass_fds=[control, source, target],
            # A session of its own: Ctrl-C in a terminal is the parent's affair, and one kill reaches the forks.
            start_new_session=True,
        )

    def run(self, size: int, *, fresh: bool) -> tuple[int, bool]:
        """Decodes the first ``size`` bytes of the source, in a new process where ``fresh``.

        Gives the wait status of the process that did it, and whether that had decoded other pictures before. Raises
        ``TimeoutError``, after which the warm process is gone, or ``Died``.
        """
        self._control.settimeout(self._limits.timeout_seconds)
        try:
            self._control.send(wire.REQUEST.pack(size, fresh))
            reply = self._control.recv(wire.REPLY.size)
        except TimeoutError:
            self.close()
            raise
        except OSError as error:
            self.close()
            raise Died from error
        if len(reply) != wire.REPLY.size:
            self.close()
            raise Died
        status, before = wire.REPLY.unpack(reply)
        return status, before > 0

    def close(self) -> None:
        """Ends the process and whatever it forked. May be called twice."""
        self._control.close()
        if self._process.returncode is None:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()

    def disown(self) -> None:
        """After a fork: the process belongs to the parent; forget it without ending it."""
        self._control.close()
        self._process.returncode = 0


def _environment() -> dict[str, str]:
    """None of the parent's secrets; and large pages, which halve what fresh memory costs every forked child."""
    kept = {name: os.environ[name] for name in ("LD_LIBRARY_PATH", "LANG", "LC_ALL") if name in os.environ}
    return kept | ALLOCATOR | _ALONE


def _python() -> str:
    """The interpreter, also where the server embeds it and ``sys.executable`` is the server."""
    if "python" in Path(sys.executable or "").name:
        return sys.executable
    return str(Path(sys.prefix, "bin", f"python{sys.version_info.major}"))
