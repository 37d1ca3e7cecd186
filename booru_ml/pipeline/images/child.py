"""The guarded side: a warm process that forks once per picture. Started by ``zygote.Zygote``.

The warm process has Pillow imported and touches no picture. For every request (input and output memory as descriptors
over a socket) it forks a child that limits itself, decodes, writes header and pixels, and ends; so a picture that
breaks the decoder breaks a process that would have ended anyway. Both die with the process that started them.
"""

from __future__ import annotations

import ctypes
import gc
import io
import mmap
import os
import resource
import signal
import socket
from typing import Any, BinaryIO

from booru_ml.pipeline.images import decode, wire
from booru_ml.pipeline.images.limits import Limits
from booru_ml.pipeline.images.refusals import Refused

_PR_SET_PDEATHSIG = 1
_PR_SET_DUMPABLE = 4
_PR_SET_NO_NEW_PRIVS = 38
_libc = ctypes.CDLL(None, use_errno=True)


class BoundedReader(io.BufferedReader):
    """A file that never makes room for more bytes than it has: a chunk that claims 4 GB is cut off, not too large."""

    def __init__(self, descriptor: int, size: int) -> None:
        super().__init__(io.FileIO(descriptor))
        self._size = size
        self.seek(0)

    def read(self, size: int | None = -1, /) -> bytes:
        left = max(0, self._size - self.tell())
        return super().read(left if size is None or size < 0 else min(size, left))


def main(arguments: dict[str, Any]) -> None:
    """Sets this process up as ``Zygote`` asks, then serves requests until the socket's other end closes."""
    control = socket.socket(fileno=arguments["socket"])
    limits = Limits(**arguments["limits"])
    _die_with(arguments["parent"])
    # What the parent's process ignored or blocked would be inherited, and children be lost or unstoppable.
    signal.pthread_sigmask(signal.SIG_SETMASK, [])
    for number in (signal.SIGCHLD, signal.SIGTERM, signal.SIGXCPU):
        signal.signal(number, signal.SIG_DFL)
    _libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    _libc.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    decode.prepare(limits)
    silence = os.open(os.devnull, os.O_RDWR)
    gc.collect()
    gc.freeze()
    gc.disable()
    baseline, warm = _address_space(), os.getpid()
    control.send(wire.READY)
    while True:
        message, descriptors, _, _ = socket.recv_fds(control, wire.REQUEST.size, 2)
        if not message:
            return
        (size,) = wire.REQUEST.unpack(message)
        source, target = descriptors
        child = os.fork()
        if child == 0:
            control.close()
            _die_with(warm)
            _picture(source, size, target, limits, baseline, silence)
        os.close(source)
        os.close(target)
        _, status = os.waitpid(child, 0)
        control.send(wire.REPLY.pack(status))


def _picture(source: int, size: int, target: int, limits: Limits, baseline: int, silence: int) -> None:
    """The forked child's whole life. Never returns."""
    try:
        for descriptor in (0, 1, 2):
            os.dup2(silence, descriptor)
        os.close(silence)
        out = mmap.mmap(target, wire.capacity(limits))
        data = mmap.mmap(source, size, prot=mmap.PROT_READ)
        file = BoundedReader(source, size)
        _confine(baseline + len(out) + size, limits)
        header = _answer(file, memoryview(data), out, limits)
        out[: len(header)] = header
        os._exit(0)
    except MemoryError:
        os._exit(wire.OUT_OF_MEMORY)
    except BaseException:
        os._exit(1)


def _answer(file: BinaryIO, data: memoryview, out: mmap.mmap, limits: Limits) -> bytes:
    """Decodes, writes the pixels behind the place of the header, and gives the header."""
    try:
        decoded = decode.decode(file, data, limits)
        at = wire.HEADER_BYTES
        for frame in decoded.frames:
            pixels = frame.tobytes()
            out[at : at + len(pixels)] = pixels
            at += len(pixels)
    except Refused as error:
        return wire.pack({"refused": error.code, "detail": error.detail, "width": error.width, "height": error.height})
    except MemoryError:
        return wire.pack({"refused": "resources", "detail": "memory"})
    return wire.pack(
        {
            "format": decoded.format,
            "width": decoded.width,
            "height": decoded.height,
            "frame_count": decoded.frame_count,
            "sizes": [frame.size for frame in decoded.frames],
            "conversions": decoded.conversions,
        }
    )


def _confine(baseline: int, limits: Limits) -> None:
    """No more memory or time than allowed, no new file, process or descriptor. Not even root's child can raise these
    without a system call that the picture would have to smuggle in first."""
    _lower(resource.RLIMIT_AS, baseline + limits.memory, baseline + limits.memory)
    # The hard limit is for a child that was made to ignore the soft one's signal.
    _lower(resource.RLIMIT_CPU, limits.cpu_seconds, limits.cpu_seconds + 1)
    _lower(resource.RLIMIT_NPROC, 0, 0)
    _lower(resource.RLIMIT_NOFILE, 0, 0)


def _lower(which: int, soft: int, hard: int) -> None:
    """Sets a limit, but never above one that the whole service already runs under."""
    _, highest = resource.getrlimit(which)
    if highest != resource.RLIM_INFINITY:
        soft, hard = min(soft, highest), min(hard, highest)
    resource.setrlimit(which, (soft, hard))


def _die_with(parent: int) -> None:
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(0)


def _address_space() -> int:
    with open("/proc/self/statm", encoding="ascii") as statm:  # noqa: PTH123 - one import less to keep warm
        return int(statm.read().split()[0]) * resource.getpagesize()
