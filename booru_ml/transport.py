"""How long the broker may keep anybody waiting, and what becomes of messages when it is lost."""

from __future__ import annotations

from typing import Any

TIMEOUT_SECONDS = 1.0


def patience(url: str) -> dict[str, Any]:
    """Transport options by which a Redis that hangs is given up, or it would keep a worker from stopping, too."""
    if not _is_redis(url):
        return {}
    return {"socket_timeout": TIMEOUT_SECONDS, "socket_connect_timeout": TIMEOUT_SECONDS}


def forget_unanswered(url: str) -> None:
    """In a worker: messages that it has not acknowledged when it loses Redis are not put back.

    Kombu 5.7 tries to, over the connection that is gone, and the worker's main process dies of it. A doorbell that
    nobody answers is no loss.
    """
    if _is_redis(url):
        from kombu.transport.redis import Channel

        Channel.do_restore = False


def _is_redis(url: str) -> bool:
    return url.startswith(("redis", "sentinel"))
