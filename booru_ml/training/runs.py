"""The folder beside a checkpoint where its training keeps its books: enough to go on after a kill, and to look back."""

from __future__ import annotations

import csv
import json
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch

from booru_ml.disk import whole, writing
from booru_ml.errors import BooruError, InvalidInput
from booru_ml.training import manifest
from booru_ml.training.manifest import Sample
from booru_ml.training.settings import Settings

SETTINGS = "settings.json"
Curve = list[dict[str, float]]


class Run:
    """``OUT.run``: ``samples.csv`` (what is taught with), ``state.pt`` (where it is), ``best.pt``, ``curve.csv``,
    ``data.txt``, and TensorBoard's events in ``logs``."""

    def __init__(self, out: Path) -> None:
        self.folder = out.parent / f"{out.name}.run"
        with writing(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
        self.logs = self.folder / "logs"
        self._state, self._best = self.folder / "state.pt", self.folder / "best.pt"

    def below(self, name: str) -> Run:
        """A run that is a part of this one."""
        return Run(self.folder / name)

    def clear(self) -> None:
        """Forgets everything."""
        with writing(self.folder):
            shutil.rmtree(self.folder)
            self.folder.mkdir()

    # --- What is taught with ---

    def samples(self) -> list[Sample] | None:
        """As an earlier start of this run found them; None at the first one."""
        path = self.folder / manifest.BOOKS
        return manifest.kept(path) if path.exists() else None

    def keep_samples(self, samples: Sequence[Sample], report: Sequence[str]) -> None:
        with whole(self.folder / "data.txt") as partial:
            partial.write_text("\n".join(report) + "\n", encoding="utf-8")
        manifest.keep(self.folder / manifest.BOOKS, samples)

    # --- Where it is ---

    def agree(self, settings: Settings, **more: Any) -> None:
        """Notes what is run, and compares it with what was. Raises ``InvalidInput`` where work would be mixed up."""
        said = json.loads(json.dumps({**asdict(settings), **more}))
        path = self.folder / SETTINGS
        before = self._settings(path)
        changed = sorted(key for key in said.keys() | before.keys() if said.get(key) != before.get(key))
        if not changed:
            return
        if next(self.folder.rglob("state.pt"), None) is not None:
            raise InvalidInput(
                f"{self.folder} holds a run that differs in {', '.join(changed)}. "
                "Go on with what it was started with, start anew with --restart, or choose another --out."
            )
        with whole(path) as partial:
            (self.folder / manifest.BOOKS).unlink(missing_ok=True)
            partial.write_text(json.dumps(said, indent=2) + "\n", encoding="utf-8")

    @contextmanager
    def left_if_refused(self) -> Iterator[None]:
        """A run that is refused before it began leaves no folder behind."""
        try:
            yield
        except BooruError:
            if [path.name for path in self.folder.iterdir()] == [SETTINGS]:
                shutil.rmtree(self.folder)
            raise

    def load(self) -> dict[str, Any] | None:
        return self._read(self._state)

    def save(self, state: Mapping[str, Any]) -> None:
        """All or nothing: a kill leaves the state before."""
        _write(self._state, state)

    def best(self) -> dict[str, Any] | None:
        return self._read(self._best)

    def save_best(self, weights: Mapping[str, Any]) -> None:
        _write(self._best, weights)

    def write_curve(self, curve: Curve) -> None:
        write_table(self.folder / "curve.csv", curve)

    def _settings(self, path: Path) -> dict[str, Any]:
        try:
            return dict(json.loads(path.read_text(encoding="utf-8"))) if path.exists() else {}
        except (ValueError, TypeError, OSError) as error:
            raise _unreadable(path, error) from error

    def _read(self, path: Path) -> dict[str, Any] | None:
        if not path.exists():
            return None
        try:
            found: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        except (RuntimeError, UnpicklingError, EOFError, KeyError, ValueError, OSError) as error:
            raise _unreadable(path, error) from error
        return found


def _unreadable(path: Path, error: Exception) -> InvalidInput:
    reason = str(error).partition("\n")[0][:200]
    return InvalidInput(f"{path} cannot be read, so the run cannot go on ({reason}). Start anew with --restart.")


def write_table(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """A CSV file with the columns of all rows."""
    columns = list(dict.fromkeys(key for row in rows for key in row))
    with whole(path) as partial, partial.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def _write(path: Path, state: Mapping[str, Any]) -> None:
    with whole(path) as partial, partial.open("wb") as file:
        try:
            torch.save(dict(state), file)
        except RuntimeError as error:  # torch's own writer, at its end, over what the disk said before
            raise _first(error) from error
        file.flush()
        os.fsync(file.fileno())


def _first(error: BaseException) -> BaseException:
    """The error of the disk that came before this one, or itself."""
    before = error.__context__
    while before is not None and not isinstance(before, OSError):
        before = before.__context__
    return before or error
