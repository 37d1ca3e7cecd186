"""What one decoding thread works with: memory that it shares with its warm process, and that process itself."""

from __future__ import annotations

import mmap
import os
from collections.abc import Iterator
from contextlib import contextmanager

from booru_ml.errors import Unavailable
from booru_ml.pipeline.images import wire
from booru_ml.pipeline.images.limits import MIB, Limits
from booru_ml.pipeline.images.zygote import Died, Zygote

KEPT_BYTES = 16 * MIB
"""A larger picture's memory is given back at once."""


class Desk:
    """Nameless memory for a picture (``source``) and for its pixels (``target``), as descriptors; the warm process is
    started with the first picture, and anew where it died. Raises ``Unavailable`` where that cannot be."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._zygote: Zygote | None = None
        self._distrusted = False
        self.reused = False
        """Whether the process that decoded last had decoded other pictures before."""
        self.source = _memory("picture", limits.max_bytes)
        self.room = _mapped(self.source, limits.max_bytes)
        """``source``, to write into; let go of with the last reference to it."""
        self.target = _memory("pixels", wire.capacity(limits))

    def run(self, size: int, *, fresh: bool) -> int:
        """Decodes the first ``size`` bytes of ``source``; gives the process's wait status, 0 while it lives on. Raises
        ``TimeoutError`` or ``Died``, after which the next picture gets another warm process."""
        if self._zygote is None:
            self._zygote = Zygote(self._limits, source=self.source, target=self.target)
        self.reused = False
        try:
            status, self.reused = self._zygote.run(size, fresh=fresh or self._distrusted)
            self._distrusted = False
        except (TimeoutError, Died):
            self._zygote = None
            raise
        return status

    def distrust(self) -> None:
        """The next picture gets a new process."""
        self._distrusted = True

    def clear(self) -> None:
        """Makes sure that no earlier answer can be taken for the next one."""
        os.pwrite(self.target, bytes(wire.HEADER_BYTES), 0)

    def trim(self, size: int) -> None:
        if size > KEPT_BYTES:
            os.ftruncate(self.source, 0)
            os.ftruncate(self.source, self._limits.max_bytes)

    def close(self) -> None:
        if self._zygote is not None:
            self._zygote.close()
            self._zygote = None
        os.close(self.source)
        os.close(self.target)

    def disown(self) -> None:
        """After a fork: the processes are the parent's; lets go of them without ending them."""
        if self._zygote is not None:
            self._zygote.disown()
            self._zygote = None
        os.close(self.source)
        os.close(self.target)


def _memory(name: str, size: int) -> int:
    """Descriptor of nameless memory that takes room only where it was written to. Raises ``Unavailable``."""
    with _or_unavailable():
        descriptor = os.memfd_create(name, os.MFD_CLOEXEC)
        os.ftruncate(descriptor, size)
    return descriptor


def _mapped(descriptor: int, size: int) -> memoryview:
    with _or_unavailable():
        return memoryview(mmap.mmap(descriptor, size))


@contextmanager
def _or_unavailable() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise Unavailable(f"There is no memory to hand a picture to the decoder: {error}.") from error
