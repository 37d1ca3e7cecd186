"""Values of a checkpoint's config.json, checked one by one; ``fail`` is told of the first that cannot be."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

Fail = Callable[[str], Any]

NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,39}")


def numbers(
    value: Any, count: int | None, what: str, fail: Fail, *, low: float = -1e6, high: float = 1e6, whole: bool = False
) -> Any:
    if not isinstance(value, list) or (count is not None and len(value) != count):
        fail(f"{what} must be a list of {count if count is not None else 'some'} numbers")
    for item in value:
        if isinstance(item, bool) or not isinstance(item, int | float) or not (low <= item <= high):
            fail(f"{what} must hold numbers between {low} and {high}, not {item!r}")
        if whole and item != int(item):
            fail(f"{what} must hold whole numbers, not {item!r}")
    return tuple(value)


def one_of(value: Any, choices: tuple[str, ...], what: str, fail: Fail) -> str:
    if value not in choices:
        fail(f"{what} must be one of {', '.join(choices)}, not {value!r}")
    return str(value)
