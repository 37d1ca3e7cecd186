"""Routes side by side: each in a process of its own, asked in turn, so that none disturbs another's time or memory."""

from __future__ import annotations

import multiprocessing
import statistics
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from booru_ml.errors import BooruError, CheckpointError

if TYPE_CHECKING:
    from booru_ml.checkpoint import Checkpoint
    from booru_ml.nn.routes.session import Outputs
    from booru_ml.types import PixelArray

START_SECONDS = 60.0
"""Longest start of a route; compiling ones are given ten times as long."""


class Arm:
    """One checkpoint on one route, in a child process. What goes wrong there raises ``CheckpointError`` here."""

    def __init__(self, checkpoint: Checkpoint, route: str, *, device: str, threads: int) -> None:
        self.route = route
        self.rss_mib = 0.0
        self._patience = START_SECONDS * (10 if route.endswith("compiled") else 1)
        context = multiprocessing.get_context("spawn")  # a fork would share what this process has loaded
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(
            target=_serve, args=(theirs, checkpoint, route, device, threads), name=f"booru-ml-{route}", daemon=True
        )
        self._process.start()
        theirs.close()

    def see(self, fitted: Sequence[PixelArray]) -> Outputs:
        """The answers to these frames."""
        outputs: Outputs = self._ask(("see", list(fitted)))
        return outputs

    def seconds(self, batch_size: int) -> float:
        """What one batch of noise takes."""
        spent, self.rss_mib = self._ask(("time", batch_size))
        return float(spent)

    def close(self) -> None:
        self._pipe.close()
        self._process.join(2)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()

    def _ask(self, question: tuple[str, Any]) -> Any:
        try:
            self._pipe.send(question)
            if not self._pipe.poll(self._patience):
                raise CheckpointError(f"no answer within {self._patience:.0f} s")
            answer = self._pipe.recv()
        except (EOFError, OSError) as error:
            raise CheckpointError(f"its process ended (exit code {self._process.exitcode})") from error
        if isinstance(answer, str):
            raise CheckpointError(answer)
        return answer


@contextmanager
def arms(checkpoint: Checkpoint, routes: Sequence[str], *, device: str, threads: int) -> Iterator[list[Arm]]:
    """All of them started at once."""
    with ExitStack() as stack:
        made = []
        for route in routes:
            made.append(Arm(checkpoint, route, device=device, threads=threads))
            stack.callback(made[-1].close)
        yield made


def interleave(running: Sequence[Arm], sizes: Sequence[int], *, seconds: float) -> dict[tuple[str, int], float]:
    """Median seconds of a batch by (route, batch size): one of each in turn, at least thrice, while there is time."""
    spent: dict[tuple[str, int], list[float]] = {}
    end = time.monotonic() + seconds
    rounds = 0
    while rounds < 4 or time.monotonic() < end:
        for size in sizes:
            for arm in running:
                taken = arm.seconds(size)
                if rounds:  # the first warms up
                    spent.setdefault((arm.route, size), []).append(taken)
        rounds += 1
    return {key: statistics.median(values) for key, values in spent.items()}


def _serve(pipe: Connection, checkpoint: Checkpoint, route: str, device: str, threads: int) -> None:
    """The child: answers until the other end is closed."""
    from booru_ml.nn.routes import open_session

    try:
        session = open_session(checkpoint, runtime=route, device=device, threads=threads)
        session.warm_up()
    except BooruError as error:
        session, refusal = None, error.message
    except Exception as error:
        session, refusal = None, f"{type(error).__name__}: {error}"[:500]
    shape = (checkpoint.preprocess.height, checkpoint.preprocess.width, 3)
    noise = np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8)
    while True:
        try:
            verb, said = pipe.recv()
        except EOFError:
            return
        if session is None:
            pipe.send(refusal)
        elif verb == "see":
            pipe.send(session.see(said))
        else:
            begun = time.perf_counter()
            session.see([noise] * said)
            pipe.send((time.perf_counter() - begun, _rss_mib()))


def _rss_mib() -> float:
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    except (OSError, ValueError, IndexError):
        return 0.0
    return pages * 4096 / 2**20
