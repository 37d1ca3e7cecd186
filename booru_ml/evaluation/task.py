"""What ``manage.py booru_evaluate`` can ask: one class for each task."""

from __future__ import annotations

from abc import ABC, abstractmethod
from argparse import ArgumentParser, ArgumentTypeError
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

MOST = 2**31 - 1
"""The largest number that an argument takes."""

Say = Callable[[str], Any]
Options = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Answer:
    """``report`` is what ``--json`` writes, ``lines`` what people read; ``draw`` puts figures into ``--report``'s
    folder."""

    report: Mapping[str, Any]
    lines: Sequence[str]
    draw: Callable[[Path], None] | None = None


def positive(text: str) -> int:
    """How many, as an argument gives it. Raises argparse's error."""
    return _number(text, 1)


def natural(text: str) -> int:
    """What random numbers begin with, as an argument gives it. Raises argparse's error."""
    return _number(text, 0)


def parts(text: str) -> int:
    """Into how many something is cut, as an argument gives it. Raises argparse's error."""
    return _number(text, 2)


def _number(text: str, least: int) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 11 and least <= int(text) <= MOST):
        raise ArgumentTypeError(f"{text[:40]!r} is no whole number from {least} to {MOST}")
    return int(text)


class Task(ABC):
    """One question about a checkpoint. Its modules are imported when it is asked: they bring the networks along."""

    name: ClassVar[str]
    help: ClassVar[str]

    @abstractmethod
    def add_arguments(self, parser: ArgumentParser) -> None:
        """Its own arguments; ``--json`` and ``--report`` are everybody's."""

    @abstractmethod
    def ask(self, options: Options, say: Say) -> Answer:
        """``say`` warns on stderr. Raises ``BooruError`` with a message that says how to mend."""
