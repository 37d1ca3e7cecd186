"""Hears the board's own signals and turns them into job rows; deaf to the echo of our own writes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_writing: ContextVar[bool] = ContextVar("booru_ml_writing_back", default=False)


@contextmanager
def writing_back() -> Iterator[None]:
    """Marks writes to the board as ours; the hook stays silent inside."""
    token = _writing.set(True)
    try:
        yield
    finally:
        _writing.reset(token)


def connect() -> None:
    """Connects the signals of the host's post model (called once, when Django is ready)."""
