"""Large pages for a graph's memory.

A search looks at vectors all over it, and with small pages it takes a tenth of its time to find out where they are.
"""

from __future__ import annotations

import ctypes
from functools import cache
from typing import Any

import numpy.typing as npt

WORTH = 2**24
"""Bytes from which it pays: the processor itself remembers where less is."""
_LARGE = 2**21
_MADV_HUGEPAGE = 14
_MADV_COLLAPSE = 25
"""At once, from Linux 6.1 on; before, the kernel takes its time."""


def on_large_pages(memory: npt.NDArray[Any]) -> None:
    """Asks Linux to keep these bytes in large pages; where it does not, nothing is lost."""
    if memory.nbytes < WORTH:
        return
    start, end = memory.ctypes.data, memory.ctypes.data + memory.nbytes
    start, end = -(-start // _LARGE) * _LARGE, end // _LARGE * _LARGE
    if (advise := _advise()) and start < end:
        advise(start, end - start, _MADV_HUGEPAGE)
        advise(start, end - start, _MADV_COLLAPSE)


@cache
def _advise() -> Any:
    advise = getattr(ctypes.CDLL(None), "madvise", None)
    if advise is not None:
        advise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
    return advise
