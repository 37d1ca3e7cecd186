"""What every kind of measurement has in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from argparse import ArgumentParser
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, ClassVar

from django.core.management.base import CommandError

from booru_ml.errors import PictureRefused

Say = Callable[[str], Any]
Report = dict[str, Any]
Options = Mapping[str, Any]


class Kind(ABC):
    """One measurement. Its modules are imported when it runs: they bring the networks along."""

    help: ClassVar[str]

    def add_arguments(self, parser: ArgumentParser) -> None:  # noqa: B027 - most have some, none must
        pass

    @abstractmethod
    def measure(self, say: Say, options: Options) -> Report:
        """The report that ``--json`` prints. Raises ``CommandError``."""

    def lines(self, report: Report) -> Iterator[str]:
        for name, value in report.items():
            yield f"{name:<24}{'–' if value is None else value}"

    def judge(self, report: Report, options: Options) -> None:  # noqa: B027 - only where a bar can be set
        """Raises ``CommandError`` where the report is worse than what was asked for."""


class OnPictures(Kind):
    """Measured on drawings, or on a folder of one's own."""

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--pictures", type=Path, metavar="DIR", help="your own instead of drawings")

    @contextmanager
    def paths(self, folder: Path | None, **options: Any) -> Iterator[list[Path]]:
        from booru_ml.benchmarks import pictures

        with TemporaryDirectory(prefix="booru-bench-") as scratch:
            yield _sound(pictures.found(folder)) if folder else pictures.drawn(Path(scratch), **options)


def _sound(paths: list[Path]) -> list[Path]:
    """The same paths. Raises ``CommandError`` for a picture that workers would refuse, and so never finish."""
    from booru_ml.pipeline.images import DecoderPool, Limits

    with DecoderPool(workers=1, limits=Limits.from_config()) as pool:
        for path in paths:
            with path.open("rb") as stream:
                try:
                    pool.submit(stream).result()
                except PictureRefused as refused:
                    raise CommandError(f"{path} cannot be measured with: {refused.message}") from refused
    return paths


def least(allowed: int, **asked: int) -> None:
    """Raises ``CommandError`` for the first number below."""
    for name, value in asked.items():
        if value < allowed:
            raise CommandError(f"--{name} is {allowed} or more.")
