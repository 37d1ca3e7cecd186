"""The network's part of a batch: everything at once; where that fails, halves, down to the one picture to blame."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Protocol

from booru_ml.pipeline.outcomes import Failure, WorkerFault, failure, is_ours
from booru_ml.types import Finding, Picture

logger = logging.getLogger(__name__)

_PROBE_SIDE = 64


class Engine(Protocol):
    """The networks: one ``Finding`` per picture, whatever batch it sits in."""

    def infer(self, pictures: Sequence[Picture], /) -> list[Finding]: ...


def look(engine: Engine, pictures: Sequence[Picture]) -> list[Finding | Failure]:
    """One outcome per picture. Raises ``WorkerFault`` when the engine fails on any picture at all."""
    if not pictures:
        return []
    try:
        findings = engine.infer(pictures)
        if len(findings) != len(pictures):
            raise WorkerFault(f"The engine answered {len(findings)} times for {len(pictures)} pictures.")
        return list(findings)
    except WorkerFault:
        raise
    except Exception as error:
        if is_ours(error) and not isinstance(error, MemoryError | SystemError):
            raise WorkerFault(str(error)) from error
        logger.warning("the engine failed on %d pictures: %r", len(pictures), error)
        if len(pictures) == 1:
            return [_blame(engine, error)]
    # Outside the handler, so that the failed batch's tensors are let go before the halves need room.
    middle = len(pictures) // 2
    return look(engine, pictures[:middle]) + look(engine, pictures[middle:])


def _blame(engine: Engine, error: Exception) -> Failure:
    """The picture's failure if the engine still manages a plain grey one, else a fault of the worker."""
    try:
        engine.infer([_probe()])
    except Exception as second:
        raise WorkerFault(f"The engine fails on any picture: {second!r}") from second
    if isinstance(error, MemoryError) or "out of memory" in str(error).lower():
        return Failure("out_of_memory", f"This picture alone needs more memory than the worker has: {error}")
    return failure(error, code="engine_failed")


def _probe() -> Picture:
    import numpy as np

    grey = np.full((_PROBE_SIDE, _PROBE_SIDE, 3), 128, dtype=np.uint8)
    return Picture((grey,), _PROBE_SIDE, _PROBE_SIDE, 1, "PNG", "0" * 64)
