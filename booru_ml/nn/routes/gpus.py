"""Which GPU a worker process takes. torch is imported only where a GPU's driver is, so other workers stay small."""

from __future__ import annotations

import fcntl
import os
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import BinaryIO

from booru_ml.errors import InvalidInput
from booru_ml.nn.routes.machine import user_cache

# NVIDIA, NVIDIA's Jetson, AMD, WSL.
NODES = ("/dev/nvidiactl", "/dev/nvhost-gpu", "/dev/kfd", "/dev/dxg")
MOST_SHARERS = 64

_mine: dict[int, tuple[int, BinaryIO]] = {}
"""By process: its GPU and the open file whose lock says so. A forked child has none of its own."""


def resolve(wanted: str) -> str:
    """``auto``, ``cuda`` or ``cuda:N`` as ``cpu`` or ``cuda:N``. Raises ``InvalidInput`` for one that is not there.

    Where no number is given, the processes of one user spread over the GPUs evenly, however they were started.
    """
    there = count()
    if wanted == "auto" and not there:
        return "cpu"
    number = wanted.partition(":")[2]
    if int(number or 0) >= there:
        raise InvalidInput(
            f"BOORU_ML['DEVICE'] is {wanted!r}, but torch sees {there or 'no'} CUDA device(s) here. "
            "Say 'auto' or 'cpu', or install torch with CUDA and a driver for it.",
            code="device",
        )
    return f"cuda:{number or share(there)}"


def count() -> int:
    """GPUs that torch sees; 0 where it is not installed, and without importing it where there is no driver."""
    if find_spec("torch") is None or not any(Path(node).exists() for node in NODES):
        return 0
    import torch

    return torch.cuda.device_count() if torch.cuda.is_available() else 0


def share(there: int, folder: Path | None = None) -> int:
    """This process's GPU: the first with the fewest sharers, held by a file's lock until the process ends.

    The kernel gives the lock back whatever kills the process, so a new worker takes the place of a dead one.
    """
    if os.getpid() in _mine:
        return _mine[os.getpid()][0]
    folder = folder or user_cache() / "gpus"
    with suppress(OSError):
        folder.mkdir(parents=True, exist_ok=True)
        for sharer in range(MOST_SHARERS):
            for number in range(there):
                file = (folder / f"{number}.{sharer}").open("ab")
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    file.close()
                    continue
                _mine[os.getpid()] = number, file
                return number
    return os.getpid() % there
