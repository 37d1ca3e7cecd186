"""The guarded side: a warm process and the children it forks. Started by ``zygote.Zygote``.

The warm process has Pillow imported and touches no picture. For a request it forks a child that limits itself,
decodes, writes header and pixels into shared memory, and stops; the next request wakes it again. A fork costs as much
as decoding a small picture, so a child may decode ``PICTURES`` of them; one that refused a picture, grew old or sat
idle is ended. A picture that breaks the decoder breaks a process that was about to end anyway. All die with the process
that started them.
"""

from __future__ import annotations

import ctypes
import gc
import io
import math
import mmap
import os
import resource
import signal
import socket
import time
from typing import Any, BinaryIO

from booru_ml.niceness import share_with_session
from booru_ml.pipeline.images import decode, wire
from booru_ml.pipeline.images.limits import Limits
from booru_ml.pipeline.images.refusals import Refused

_PR_SET_PDEATHSIG = 1
_PR_SET_DUMPABLE = 4
_PR_SET_NO_NEW_PRIVS = 38
_libc = ctypes.CDLL(None, use_errno=True)


PICTURES = 64
"""The most that one child decodes."""
IDLE_SECONDS = 60.0
"""After which a child that waits is ended, so that it keeps no memory."""


class Mapped(io.RawIOBase):
    """A picture's bytes as a file: a mapping, not a copy."""

    def __init__(self, data: memoryview) -> None:
        self._data, self._at = data, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        start = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: len(self._data)}[whence]
        if start + offset < 0:
            raise ValueError("a place before the start")
        self._at = start + offset
        return self._at

    def readinto(self, buffer: Any, /) -> int:
        piece = self._data[self._at : self._at + len(buffer)]
        buffer[: len(piece)] = piece
        self._at += len(piece)
        return len(piece)


class BoundedReader(io.BufferedReader):
    """A file that never makes room for more bytes than it has: a chunk that claims 4 GB is cut off, not too large."""

    def __init__(self, data: memoryview) -> None:
        super().__init__(Mapped(data))
        self._size = len(data)

    def read(self, size: int | None = -1, /) -> bytes:
        left = max(0, self._size - self.tell())
        return super().read(left if size is None or size < 0 else min(size, left))


class Memory:
    """What a child shares with the warm process and its parent. Children inherit the mappings, not the descriptors."""

    def __init__(self, source: int, target: int, limits: Limits) -> None:
        self.source = mmap.mmap(source, limits.max_bytes, prot=mmap.PROT_READ)
        self.out = mmap.mmap(target, wire.capacity(limits))
        self._size = mmap.mmap(-1, wire.SIZE.size)
        os.close(source)
        os.close(target)

    def expect(self, size: int) -> None:
        wire.SIZE.pack_into(self._size, 0, size)

    @property
    def answered(self) -> bool:
        """Whether there is a header; the parent clears it before each picture."""
        return any(self.out[: wire.HEADER_BYTES])

    @property
    def picture(self) -> memoryview:
        (size,) = wire.SIZE.unpack_from(self._size)
        return memoryview(self.source)[:size]


class Child:
    """The forked process that decodes, as the warm process sees it."""

    def __init__(self, memory: Memory, limits: Limits) -> None:
        self._memory, self._limits = memory, limits
        self._silence = os.open(os.devnull, os.O_RDWR)
        self._baseline = _address_space()
        self._pid = 0
        self._seen = 0

    def run(self, size: int, *, fresh: bool) -> tuple[int, int]:
        """Wait status and how many pictures the process had decoded before."""
        if fresh or self._seen >= PICTURES:
            self.end()
        self._memory.expect(size)
        if self._pid:
            os.kill(self._pid, signal.SIGCONT)
        else:
            self._fork()
        before, self._seen = self._seen, self._seen + 1
        _, status = os.waitpid(self._pid, os.WUNTRACED)
        while os.WIFSTOPPED(status):
            if self._memory.answered:
                return 0, before
            # Somebody else stopped it in the middle of its work.
            os.kill(self._pid, signal.SIGCONT)
            _, status = os.waitpid(self._pid, os.WUNTRACED)
        self._pid = 0
        return status, before

    def end(self) -> None:
        if self._pid:
            os.kill(self._pid, signal.SIGKILL)
            os.waitpid(self._pid, 0)
            self._pid = 0

    def _fork(self) -> None:
        warm = os.getpid()
        self._pid, self._seen = os.fork(), 0
        if self._pid == 0:
            _die_with(warm)
            _decode(self._memory, self._limits, self._baseline, self._silence)


def main(arguments: dict[str, Any]) -> None:
    """Sets this process up as ``Zygote`` asks, then serves requests until the socket's other end closes."""
    control = socket.socket(fileno=arguments["socket"])
    limits = Limits(**arguments["limits"])
    _die_with(arguments["parent"])
    share_with_session()
    # What the parent's process ignored or blocked would be inherited, and children be lost or unstoppable.
    signal.pthread_sigmask(signal.SIG_SETMASK, [])
    for number in (signal.SIGCHLD, signal.SIGTERM, signal.SIGXCPU):
        signal.signal(number, signal.SIG_DFL)
    _libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    _libc.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    memory = Memory(arguments["source"], arguments["target"], limits)
    decode.prepare(limits)
    gc.collect()
    gc.freeze()
    gc.disable()
    child = Child(memory, limits)
    control.settimeout(IDLE_SECONDS)
    control.send(wire.READY)
    while True:
        try:
            message = control.recv(wire.REQUEST.size)
        except TimeoutError:
            child.end()
            continue
        if not message:
            return
        size, fresh = wire.REQUEST.unpack(message)
        control.send(wire.REPLY.pack(*child.run(size, fresh=fresh)))


def _decode(memory: Memory, limits: Limits, baseline: int, silence: int) -> None:
    """The forked child's whole life. Never returns."""
    try:
        for descriptor in (0, 1, 2):
            os.dup2(silence, descriptor)
        os.closerange(3, resource.getrlimit(resource.RLIMIT_NOFILE)[0])
        _confine(baseline, limits)
        while True:
            picture = memory.picture
            header = _answer(BoundedReader(picture), picture, memory.out, limits)
            memory.out[: len(header)] = header
            if time.process_time() > limits.spare_seconds:
                os._exit(0)
            gc.collect()
            os.kill(os.getpid(), signal.SIGSTOP)
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
    seconds = limits.cpu_seconds + math.ceil(limits.spare_seconds)
    # The hard limit is for a child that was made to ignore the soft one's signal.
    _lower(resource.RLIMIT_CPU, seconds, seconds + 1)
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
