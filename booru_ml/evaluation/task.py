"""What ``manage.py booru_evaluate`` can ask: one class for each task."""

from __future__ import annotations

from abc import ABC, abstractmethod
from argparse import ArgumentParser
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

Say = Callable[[str], Any]
Options = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Answer:
    """``report`` is what ``--json`` writes, ``lines`` what people read; ``draw`` puts figures into ``--report``'s
    folder."""

    report: Mapping[str, Any]
    lines: Sequence[str]
    draw: Callable[[Path], None] | None = None


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
