"""The limit: decoding and the networks on every core, and nothing else. No guard, no hash, no database, no broker."""

from __future__ import annotations

import io
import multiprocessing
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path
from time import perf_counter
from typing import Any, Self

import numpy as np

from booru_ml.benchmarks import tree
from booru_ml.conf import config
from booru_ml.pipeline.images.zygote import ALLOCATOR
from booru_ml.types import Picture

# New processes rather than forks, since only at its start does one take the allocator's setting that decoders have.
_context = multiprocessing.get_context("spawn")


def cores() -> int:
    return len(os.sched_getaffinity(0))


class Crew:
    """One process per core, each with an engine; they share the pictures batch by batch. A context manager."""

    def __init__(self) -> None:
        self._next = _context.Value("i", 0)
        self._crew: list[tuple[Any, Connection]] = []

    def cpu_seconds(self) -> float:
        """Processor time of the crew so far."""
        return sum(tree.cpu_seconds(process.pid) for process, _ in self._crew)

    def run(self, paths: Sequence[Path]) -> float:
        """Seconds until every picture was decoded and looked at, the ``BATCH_SIZE`` at a time."""
        return self._ask(paths, config().BATCH_SIZE)

    def one(self, path: Path) -> float:
        """Seconds of decode and forward of a single picture, on a single core."""
        return self._ask([path], 1, hands=1)

    def _ask(self, paths: Sequence[Path], batch: int, hands: int | None = None) -> float:
        self._next.value = 0
        begun = perf_counter()
        crew = self._crew[:hands]
        for _, pipe in crew:
            pipe.send((list(paths), batch))
        for process, pipe in crew:
            if not _answers(process, pipe):
                raise RuntimeError("a process that measures the limit has died")
        return perf_counter() - begun

    def __enter__(self) -> Self:
        with _environment(ALLOCATOR):
            for _ in range(cores()):
                pipe, theirs = _context.Pipe()
                process = _context.Process(target=_serve, args=(theirs, self._next), daemon=True)
                process.start()
                theirs.close()
                self._crew.append((process, pipe))
        for process, pipe in self._crew:
            if not _answers(process, pipe):
                raise RuntimeError("no engine can be built here; manage.py booru_model verify says why")
        return self

    def __exit__(self, *_: object) -> None:
        for process, pipe in self._crew:
            pipe.close()
            process.join(5)
            process.kill()


@contextmanager
def _environment(changed: Mapping[str, str]) -> Iterator[None]:
    before = dict(os.environ)
    os.environ.update(changed)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def _answers(process: Any, pipe: Connection) -> bool:
    while not pipe.poll(1):
        if not process.is_alive():
            return False
    try:
        return bool(pipe.recv())
    except EOFError:
        return False


def _serve(pipe: Connection, following: Any) -> None:
    import django

    django.setup()
    from booru_ml.pipeline.images import Limits, decode
    from booru_ml.pipeline.parts import load_engine
    from booru_ml.registry import Selection

    limits = Limits.from_config()
    decode.prepare(limits)
    engine = load_engine(Selection())  # what is promoted on the real board does not speak on the measurement's
    pipe.send(True)
    try:
        while True:
            paths, batch = pipe.recv()
            for mine in iter(_taker(following, paths, batch), []):
                engine.infer([_decoded(path, limits, decode.decode) for path in mine], beside=False)
            pipe.send(True)
    except (EOFError, OSError):
        return


def _taker(following: Any, paths: Sequence[Path], batch: int) -> Callable[[], list[Path]]:
    def take() -> list[Path]:
        with following.get_lock():
            start = following.value
            following.value += batch
        return list(paths[start : start + batch])

    return take


def _decoded(path: Path, limits: Any, decode: Callable[..., Any]) -> Picture:
    data = path.read_bytes()
    found = decode(io.BytesIO(data), memoryview(data), limits)
    frames = tuple(np.asarray(frame) for frame in found.frames)
    return Picture(frames, found.width, found.height, found.frame_count, found.format, "0" * 64)
