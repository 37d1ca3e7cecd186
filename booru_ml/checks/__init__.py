"""System checks: every misconfiguration has an id and a hint that says how to mend it (listed in docs/checks.md)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.core.checks import CheckMessage, register

from booru_ml.checks import host, machine, values


@register("booru_ml")
def check_settings(app_configs: Sequence[Any] | None, **_: Any) -> list[CheckMessage]:
    """Later checks read what earlier ones found sound."""
    if found := values.shape():
        return found
    return [*values.ranges(), *host.check(), *machine.check()]
