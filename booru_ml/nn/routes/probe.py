"""Which route is the fastest for a checkpoint on this machine, among those whose answers are as good as float32's."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from booru_ml.errors import CheckpointError
from booru_ml.nn.routes import ROUTES, available, gpus, usual
from booru_ml.nn.routes.arms import Arm, arms, interleave
from booru_ml.nn.routes.choices import Choice, Choices, Place
from booru_ml.nn.transforms import fit
from booru_ml.nn.verification import TOLERANCE, check, distances, patterns

if TYPE_CHECKING:
    from booru_ml.checkpoint import Checkpoint
    from booru_ml.nn.routes.session import Outputs

WORTH = 0.9
"""A route must take at most this part of the usual one's time: the rest is noise, or not worth more memory."""
HALF_TOLERANCE = 0.1
"""For bfloat16 where the checkpoint lets it serve: what lies further apart was multiplied wrongly."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What a worker would use, and how carefully to look. ``tolerance``: see ``verification.distances``; None: 1e-3,
    and ``HALF_TOLERANCE`` in bfloat16 for a checkpoint whose ``precision`` that is."""

    device: str = "auto"
    threads: int = 1
    batch_size: int = 16
    seconds: float = 5.0
    tolerance: float | None = None
    compiled: bool = False


def probe(checkpoint: Checkpoint, choices: Choices, settings: Settings, *, again: bool = False) -> Choice:
    """The choice for this checkpoint, measured and remembered; one that is remembered already is not measured again
    unless ``again`` says so. Processes that ask at once wait for the first. Raises ``CheckpointError``, ``OSError``."""
    device = gpus.resolve(settings.device) if settings.device != "cpu" else "cpu"
    place = Place.here(checkpoint, device=device, threads=settings.threads, batch_size=settings.batch_size)
    with choices.alone():
        known = None if again else choices.read(place)
        if known is None:
            known = measure(checkpoint, settings, device=device)
            choices.write(place, known)
    return known


def measure(checkpoint: Checkpoint, settings: Settings, *, device: str) -> Choice:
    """Opens every route that could serve, compares its answers with the exact one's, and times those that agree."""
    names = [route.name for route in available(checkpoint, device, compiled=settings.compiled)]
    first, exact = usual(checkpoint, device).name, usual(checkpoint, "cpu").name
    with arms(checkpoint, names, device=device, threads=settings.threads) as running:
        fitted = [fit(frame, checkpoint.preprocess) for frame in patterns()]
        if device == "cpu" and exact in names:
            reference = next(arm for arm in running if arm.route == exact).see(fitted)
        else:
            with arms(checkpoint, [exact], device="cpu", threads=settings.threads) as (arm,):
                reference = arm.see(fitted)
        check(checkpoint, reference, len(fitted))
        refused = {arm.route: why for arm in running if (why := _refusal(checkpoint, arm, reference, settings))}
        if first in refused:
            raise CheckpointError(f"Checkpoint {checkpoint.path} does not run by {first}: {refused[first]}")
        serving = [arm for arm in running if arm.route not in refused]
        spent = interleave(serving, (1, settings.batch_size), seconds=settings.seconds)
    # Half of the work comes singly, half in full batches: a route should be good at both.
    cost = {arm.route: math.sqrt(_each(spent, arm, 1) * _each(spent, arm, settings.batch_size)) for arm in serving}
    best = min(cost, key=lambda route: cost[route])
    return Choice(
        route=best if cost[best] <= WORTH * cost[first] else first,
        milliseconds={arm.route: round(1000 * _each(spent, arm, settings.batch_size), 3) for arm in serving},
        singly={arm.route: round(1000 * _each(spent, arm, 1), 3) for arm in serving},
        mib={arm.route: round(arm.rss_mib) for arm in serving},
        refused=refused,
    )


def _refusal(checkpoint: Checkpoint, arm: Arm, reference: Outputs, settings: Settings) -> str:
    """Why this route may not serve; empty if it may."""
    try:
        apart = distances(checkpoint, arm.see([fit(frame, checkpoint.preprocess) for frame in patterns()]), reference)
    except CheckpointError as error:
        return error.message
    head = max(apart, key=lambda name: apart[name])
    return f"head {head} is off by {apart[head]:.1e}" if apart[head] > _tolerance(checkpoint, arm, settings) else ""


def _tolerance(checkpoint: Checkpoint, arm: Arm, settings: Settings) -> float:
    if settings.tolerance is not None:
        return settings.tolerance
    return HALF_TOLERANCE if ROUTES[arm.route].half and checkpoint.precision == "bfloat16" else TOLERANCE


def _each(spent: dict[tuple[str, int], float], arm: Arm, size: int) -> float:
    return spent[arm.route, size] / size
