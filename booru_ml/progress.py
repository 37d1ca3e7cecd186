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


def nobody(steps: int = 1) -> None:
    """Hears of progress where nobody looks on."""


@contextmanager
def progress(description: str, *, total: int | None, done: int = 0) -> Iterator[Advance]:
    """Gives a function to call as steps are done; shows count, share and the time left. ``done``: steps that an earlier
    run has made."""
    if not sys.stderr.isatty():
        with _lines(description, total, done) as advance:
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
        task = bar.add_task(description, total=total, completed=done)
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
def _lines(description: str, total: int | None, done: int) -> Iterator[Advance]:
    before, started, said = done, time.monotonic(), time.monotonic()

    def say() -> None:
        of, seconds = f"/{total}" if total is not None else "", time.monotonic() - started
        left = f", {span(seconds * (total - done) / (done - before))} left" if total and before < done < total else ""
        print(f"{description}: {done}{of} ({span(seconds)}{left})", file=sys.stderr, flush=True)  # noqa: T201

    def advance(steps: int = 1) -> None:
        nonlocal done, said
        done += steps
        if time.monotonic() - said >= LOG_EVERY:
            said = time.monotonic()
            say()

    yield advance
    say()


def span(seconds: float) -> str:
    """A length of time as people say it: ``40 s``, ``12 min``, ``3 h 20 min``, ``2 d 4 h``."""
    whole = round(seconds)
    if whole < 120:
        return f"{whole} s"
    minutes = round(seconds / 60)
    if minutes < 120:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    large, small, units = (hours, minutes, ("h", "min")) if hours < 48 else (hours // 24, hours % 24, ("d", "h"))
    return f"{large} {units[0]}" + (f" {small} {units[1]}" if small else "")
