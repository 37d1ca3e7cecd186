"""Decodes untrusted pictures in guarded processes, several at a time."""

from __future__ import annotations

import hashlib
import logging
import os
import signal
import threading
import weakref
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from types import TracebackType
from typing import Any, BinaryIO, Self

import numpy as np

from booru_ml.errors import PictureRefused
from booru_ml.pipeline.images import wire
from booru_ml.pipeline.images.desk import Desk
from booru_ml.pipeline.images.limits import MIB, Limits
from booru_ml.pipeline.images.refusals import sentence
from booru_ml.pipeline.images.zygote import Died
from booru_ml.types import Picture, PixelArray

logger = logging.getLogger(__name__)

_pools: weakref.WeakSet[DecoderPool] = weakref.WeakSet()


class DecoderPool:
    """Threads of this process, each with a warm decoding process of its own, started with its first picture.

    Works in threads, in daemonic workers and after a fork (the forked process starts decoders of its own)::

        with DecoderPool(workers=2) as decoders:
            picture = decoders.submit(stream).result()
    """

    def __init__(self, *, workers: int = 2, limits: Limits | None = None) -> None:
        self.workers = workers
        self.limits = limits or Limits()
        self._start()
        _pools.add(self)

    def submit(self, stream: BinaryIO) -> Future[Picture]:
        """Reads ``stream`` to its end (at most the allowed bytes and one) and decodes it; keep it open until the
        future is done. The future raises

        - ``PictureRefused`` for anything wrong with the picture, its decoder's death included; ``extra`` holds
          ``sha256``, ``width``, ``height`` as far as they are known and ``detail`` for developers;
        - whatever ``stream`` raises while it is read: a fault of the storage, unchanged;
        - ``Unavailable`` where no decoder can be started.
        """
        return self._threads.submit(self._decode, stream)

    def close(self) -> None:
        """Waits for the pictures in hand, drops those that wait, ends the processes. May be called twice."""
        self._threads.shutdown(wait=True, cancel_futures=True)
        while self._desks:
            self._desks.pop().close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _start(self) -> None:
        self._threads = ThreadPoolExecutor(self.workers, thread_name_prefix="decoder")
        self._mine = threading.local()
        self._desks: set[Desk] = set()

    def after_fork(self) -> None:
        """In a forked process: threads did not survive, and the decoders are the parent's."""
        for desk in self._desks:
            desk.disown()
        self._start()

    def _decode(self, stream: BinaryIO) -> Picture:
        desk = self._desk()
        size = len(desk.room)  # as much may be in it where reading fails
        try:
            size, digest = self._read(stream, desk.room)
            return self._decoded(desk, size, digest)
        finally:
            desk.trim(size)

    def _decoded(self, desk: Desk, size: int, digest: str) -> Picture:
        try:
            return self._look(desk, size, digest, fresh=False)
        except PictureRefused:
            if not desk.reused:
                raise
            # The process may have been worn or spoilt by the pictures before: only a new one's word counts.
            return self._look(desk, size, digest, fresh=True)

    def _read(self, stream: BinaryIO, room: memoryview) -> tuple[int, str]:
        """The stream's bytes into ``room``: how many, and their SHA-256."""
        digest, size = hashlib.sha256(), 0
        while count := _read_into(stream, room[size : size + MIB]):
            # While they are in the processor's caches.
            digest.update(room[size : size + count])
            size += count
        if size == 0:
            raise self._refusal("empty", digest.hexdigest())
        if size == len(room) and stream.read(1):
            raise self._refusal("too-many-bytes", "")
        return size, digest.hexdigest()

    def _look(self, desk: Desk, size: int, digest: str, *, fresh: bool) -> Picture:
        desk.clear()
        try:
            return self._picture(desk.target, self._run(desk, size, digest, fresh=fresh), digest)
        except PictureRefused:
            desk.distrust()
            raise

    def _run(self, desk: Desk, size: int, digest: str, *, fresh: bool) -> int:
        """Wait status of the decoding process. That it, or the warm one, was killed need not be the picture's fault
        (memory may have been short, or somebody sent a signal), so it is tried once more."""
        for last_try in (False, True):
            try:
                status = desk.run(size, fresh=fresh)
            except TimeoutError:
                raise self._refusal("timeout", digest) from None
            except Died:
                logger.warning("A picture decoder ended unasked.", extra={"sha256": digest})
                if last_try:
                    raise self._refusal("crashed", digest) from None
                continue
            if last_try or not os.WIFSIGNALED(status) or os.WTERMSIG(status) != signal.SIGKILL:
                return status
            logger.warning("The decoding of a picture was killed.", extra={"sha256": digest})
        raise AssertionError

    def _picture(self, target: int, status: int, digest: str) -> Picture:
        """What the process left in ``target``."""
        if os.WIFSIGNALED(status):
            number = os.WTERMSIG(status)
            code = "resources" if number == signal.SIGXCPU else "crashed"
            raise self._refusal(code, digest, detail=signal.Signals(number).name)
        if exit_status := os.WEXITSTATUS(status):
            raise self._refusal("resources" if exit_status == wire.OUT_OF_MEMORY else "crashed", digest)
        try:
            header = wire.unpack(os.pread(target, wire.HEADER_BYTES, 0), self.limits)
        except ValueError as error:
            raise self._refusal("crashed", digest, detail=str(error)) from None
        if header.refused:
            raise self._refusal(header.refused, digest, detail=header.detail, width=header.width, height=header.height)
        return Picture(
            frames=tuple(_frames(target, header.sizes)),
            width=header.width,
            height=header.height,
            frame_count=header.frame_count,
            format=header.format,
            sha256=digest,
            conversions=header.conversions,
        )

    def _desk(self) -> Desk:
        desk: Desk | None = getattr(self._mine, "desk", None)
        if desk is None:
            desk = self._mine.desk = Desk(self.limits)
            self._desks.add(desk)
        return desk

    def _refusal(self, code: str, digest: str, *, detail: str = "", width: int = 0, height: int = 0) -> PictureRefused:
        message = sentence(code, self.limits, width=width, height=height)
        return PictureRefused(message, code=code, sha256=digest, detail=detail, width=width, height=height)


def _after_fork() -> None:
    for pool in list(_pools):
        pool.after_fork()


os.register_at_fork(after_in_child=_after_fork)


def _read_into(stream: Any, room: memoryview) -> int:
    """How many bytes of ``stream`` are in ``room`` now; a storage's own files may know no other way than a copy."""
    with suppress(AttributeError, NotImplementedError):
        return stream.readinto(room) or 0
    chunk = stream.read(len(room)) if room else b""
    room[: len(chunk)] = chunk
    return len(chunk)


def _frames(target: int, sizes: tuple[tuple[int, int], ...]) -> Iterator[PixelArray]:
    """Copies the frames' pixels out of the shared memory: read-only (height, width, 3) each."""
    at = wire.HEADER_BYTES
    for width, height in sizes:
        pixels = np.empty((height, width, 3), np.uint8)
        os.preadv(target, [pixels.data], at)
        pixels.setflags(write=False)
        at += pixels.nbytes
        yield pixels
