"""How long the broker may keep anybody waiting."""

from __future__ import annotations

from typing import Any

TIMEOUT_SECONDS = 1.0


def patience(url: str) -> dict[str, Any]:
    """Transport options by which a Redis that hangs is given up, or it would keep a worker from stopping, too."""
    if not url.startswith(("redis", "sentinel")):
        return {}
    return {"socket_timeout": TIMEOUT_SECONDS, "socket_connect_timeout": TIMEOUT_SECONDS}
