"""Networks that do what a picture's colour tells them to: die, run out of memory, take their time."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Sequence
from typing import Any

from booru_ml.types import Finding, Picture
from tests.booru_ml.pipeline.fakes import FakeEngine

RED = (255, 0, 0)
"""Kills the process that looks at it."""
BLUE = (0, 0, 255)
"""Takes a while."""
YELLOW = (255, 255, 0)
"""Needs more memory than the process may have."""
ORANGE = (255, 128, 0)
"""Large: the device has room for four of them at a time."""
PURPLE = (128, 0, 128)
"""Larger than the device."""
ROOM = 4
SECONDS = 0.02
"""What an ordinary picture costs the cheap engine."""


class Obedient:
    """An engine that looks at the colours first."""

    def __init__(self, inner: Any) -> None:
        self.inner, self.version = inner, inner.version

    def infer(self, pictures: Sequence[Picture]) -> list[Finding]:
        colours = [tuple(int(value) for value in picture.frames[0][0, 0]) for picture in pictures]
        if RED in colours:
            os.kill(os.getpid(), signal.SIGKILL)
        if YELLOW in colours:
            raise MemoryError
        if PURPLE in colours or colours.count(ORANGE) > ROOM:
            raise RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB.")
        time.sleep(0.15 * colours.count(BLUE))
        return list(self.inner.infer(pictures))

    def close(self) -> None:
        self.inner.close()


def cheap(*_: object) -> Obedient:
    return Obedient(FakeEngine(lambda pictures: time.sleep(SECONDS * len(pictures))))


def install() -> None:
    """Puts the engine that ``FAULT_ENGINE`` names into this worker process, and shifts its clock by ``FAULT_CLOCK``."""
    from booru_ml.pipeline import worker

    shipped = worker.build_engine
    worker.build_engine = cheap if os.environ.get("FAULT_ENGINE") == "cheap" else lambda *_: Obedient(shipped())
    if shift := float(os.environ.get("FAULT_CLOCK", "0")):
        import time_machine

        time_machine.travel(time.time() + shift, tick=True).start()
