"""Progress of long work, on stderr: a bar where people look on, a line every few seconds where only a log listens."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator, Sized
from contextlib import contextmanager
from typing import Protocol, TypeVar

T = TypeVar("T")
LOG_EVERY = 5.0


class Advance(Protocol):
    def __call__(self, steps: int = 1) -> None: ...


@contextmanager
def progress(description: str, *, total: int | None) -> Iterator[Advance]:
    """Gives a function to call as steps are done; shows count, share, rate and the time left."""
    if not sys.stderr.isatty():
        with _lines(description, total) as advance:
            yield advance
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task(description, total=total)
        yield lambda steps=1: bar.advance(task, steps)


def track(items: Iterable[T], description: str, *, total: int | None = None) -> Iterator[T]:
    """Goes through ``items`` and shows how far it is."""
    if total is None and isinstance(items, Sized):
        total = len(items)
    with progress(description, total=total) as advance:
        for item in items:
            yield item
            advance()


@contextmanager
def _lines(description: str, total: int | None) -> Iterator[Advance]:
    done, started, said = 0, time.monotonic(), time.monotonic()

    def say() -> None:
        of = f"/{total}" if total is not None else ""
        print(f"{description}: {done}{of} ({time.monotonic() - started:.0f} s)", file=sys.stderr, flush=True)  # noqa: T201

    def advance(steps: int = 1) -> None:
        nonlocal done, said
        done += steps
        if time.monotonic() - said >= LOG_EVERY:
            said = time.monotonic()
            say()

    yield advance
    say()
