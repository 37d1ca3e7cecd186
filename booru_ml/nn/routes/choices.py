"""Measured choices on disk: one small file for each place that was measured. What cannot be read was not measured."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from booru_ml.nn.routes import machine

if TYPE_CHECKING:
    from booru_ml.checkpoint import Checkpoint


@dataclass(frozen=True, kw_only=True)
class Place:
    """What a measurement holds for; any change asks for a new one."""

    weights: str
    precision: str
    device: str
    threads: int
    batch_size: int
    versions: Mapping[str, str]

    @classmethod
    def here(cls, checkpoint: Checkpoint, *, device: str, threads: int, batch_size: int) -> Place:
        return cls(
            weights=checkpoint.weights_id,
            precision=checkpoint.precision,
            device=machine.processor() if device == "cpu" else _gpu(device),
            threads=threads,
            batch_size=batch_size,
            versions=machine.versions(),
        )

    @property
    def key(self) -> str:
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()[:32]


@dataclass(frozen=True, kw_only=True)
class Choice:
    """The route, and by route what was measured: ``milliseconds`` per picture in full batches and ``singly``, the
    process's resident ``mib``, and why it was ``refused``."""

    route: str
    milliseconds: Mapping[str, float] = field(default_factory=dict)
    singly: Mapping[str, float] = field(default_factory=dict)
    mib: Mapping[str, float] = field(default_factory=dict)
    refused: Mapping[str, str] = field(default_factory=dict)


class Choices:
    """A folder of them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "routes"

    def read(self, place: Place) -> Choice | None:
        try:
            said = json.loads(self._file(place).read_text(encoding="utf-8"))
            choice = Choice(**said["choice"])
        except (OSError, ValueError, TypeError, KeyError):
            return None
        return choice if isinstance(choice.route, str) else None

    def write(self, place: Place, choice: Choice) -> None:
        """Whole or not at all, whatever interrupts it. Raises ``OSError`` where the folder cannot be written."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile("w", dir=self.folder, prefix=".new-", delete=False, encoding="utf-8") as file:
            try:
                json.dump({"place": asdict(place), "choice": asdict(choice)}, file, indent=2)
                file.flush()
                os.fsync(file.fileno())
                Path(file.name).replace(self._file(place))
            except BaseException:
                Path(file.name).unlink(missing_ok=True)
                raise

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """One process at a time: measurements beside each other would measure each other."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / ".lock").open("ab") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def _file(self, place: Place) -> Path:
        return self.folder / f"{place.key}.json"


def _gpu(device: str) -> str:
    import torch

    return torch.cuda.get_device_name(device)
