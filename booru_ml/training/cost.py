"""What a checkpoint costs: parameters, and milliseconds for one picture on one core."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from statistics import median

from booru_ml.checkpoint import Checkpoint, files, tensor_shapes
from booru_ml.checkpoint.files import Folder
from booru_ml.nn.routes import open_session
from booru_ml.nn.transforms import fit
from booru_ml.nn.verification import patterns

ROUNDS = 15


@dataclass(frozen=True, slots=True)
class Cost:
    parameters: int
    milliseconds: float


def cost(checkpoint: Checkpoint) -> Cost:
    """The median of ``ROUNDS`` forwards of one picture by ONNX Runtime; statistics of normalisation count, too."""
    source = Folder(checkpoint.path)
    names = [name for name in (files.WEIGHTS, files.HEADS) if name in source]
    parameters = sum(math.prod(shape) for name in names for shape in tensor_shapes(source, name).values())
    session = open_session(checkpoint, runtime="onnx", device="cpu")
    picture = [fit(patterns()[0], checkpoint.preprocess)]
    session.see(picture)
    times = []
    for _ in range(ROUNDS):
        started = time.perf_counter()
        session.see(picture)
        times.append(1e3 * (time.perf_counter() - started))
    return Cost(parameters, round(median(times), 2))
