"""What the plugin costs an upload: the same save with and without the hook, whatever the broker does."""

from __future__ import annotations

import logging
import random
import socket
import statistics
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from django.conf import settings
from django.db import transaction
from django.test.utils import override_settings

from booru_ml.benchmarks import brokers
from booru_ml.benchmarks.samples import Posts, picture, posts
from booru_ml.pipeline import doorbell, hooks

PAUSE_SECONDS = 2 * doorbell.PAUSE_SECONDS
"""Between two uploads, so that the doorbell of one does not share the processor with the next."""


def measure(rounds: int, *, say: Callable[[str], None] = lambda text: None) -> dict[str, Any]:
    """Medians in milliseconds of one upload's save and commit, per arm, and their difference to ``without``: on the
    wall, and of processor time (``cpu``), which other work on the machine does not disturb.

    ``alive``: the configured broker, or an embedded one; left out where neither is at hand. ``dead``: nothing listens.
    ``frozen``: the connection is taken, no answer ever comes.
    """
    quiet = logging.getLogger("booru_ml")
    level, quiet.level = quiet.level, logging.CRITICAL
    try:
        with posts() as maker, _brokers() as urls:
            samples = _interleave(maker, {"without": None, **urls}, rounds, say)
    finally:
        quiet.level = level
    return _report(samples)


def _interleave(
    maker: Posts, arms: dict[str, str | None], rounds: int, say: Callable[[str], None]
) -> dict[str, list[tuple[float, float]]]:
    samples: dict[str, list[tuple[float, float]]] = {arm: [] for arm in arms}
    names = list(arms)
    for number in range(-2, rounds):  # the first two warm connections and caches up
        random.shuffle(names)
        for name in names:
            sample = _upload(maker, arms[name])
            if number >= 0:
                samples[name].append(sample)
        if number % 20 == 0:
            say(f"{number} of {rounds} rounds")
    return samples


def _upload(maker: Posts, broker: str | None) -> tuple[float, float]:
    post = maker.build(picture())
    with _plugin(broker):
        begun, busy = time.perf_counter(), time.thread_time()
        with transaction.atomic():
            post.save()
        sample = time.perf_counter() - begun, time.thread_time() - busy
        time.sleep(PAUSE_SECONDS)
    with hooks.writing_back():
        maker.remove(post)
    return sample


@contextmanager
def _plugin(broker: str | None) -> Iterator[None]:
    if broker is None:
        hooks.disconnect()
        try:
            yield
        finally:
            hooks.connect()
        return
    with override_settings(BOORU_ML={**settings.BOORU_ML, "BROKER_URL": broker}):
        yield


@contextmanager
def _brokers() -> Iterator[dict[str, str]]:
    with socket.socket() as silent, socket.socket() as closed, brokers.configured() as alive:
        for listener in (silent, closed):
            listener.bind(("127.0.0.1", 0))
        silent.listen(64)
        taken: list[socket.socket] = []
        threading.Thread(target=_take, args=(silent, taken), daemon=True).start()
        yield {
            **({"alive": alive} if alive else {}),
            "dead": f"redis://127.0.0.1:{closed.getsockname()[1]}/0",
            "frozen": f"redis://127.0.0.1:{silent.getsockname()[1]}/0",
        }


def _take(listener: socket.socket, taken: list[socket.socket]) -> None:
    try:
        while True:
            taken.append(listener.accept()[0])
    except OSError:
        return


def _report(samples: dict[str, list[tuple[float, float]]]) -> dict[str, Any]:
    without = samples.pop("without")
    base = statistics.median(wall for wall, _ in without)
    report: dict[str, Any] = {"uploads": len(without), "without_ms": _ms(base)}
    for name, arm in samples.items():
        walls = [wall for wall, _ in arm]
        pairs = list(zip(arm, without, strict=True))
        report[name] = {
            "ms": _ms(statistics.median(walls)),
            "p95_ms": _ms(statistics.quantiles(walls, n=20)[18]),
            "ratio": round(statistics.median(walls) / base, 3),
            "extra_ms": _ms(statistics.median(one[0] - other[0] for one, other in pairs)),
            "extra_cpu_ms": _ms(statistics.median(one[1] - other[1] for one, other in pairs)),
        }
    return report


def _ms(seconds: float) -> float:
    return round(1000 * seconds, 3)
