"""``only=id,media_asset[id,md5]``: the fields a client wants, nested."""

from __future__ import annotations

from typing import Any

from booru_ml.errors import InvalidInput

MAX_LENGTH = 2000
MAX_DEPTH = 4

Fields = dict[str, "Fields"]


def parse(text: str) -> Fields:
    """``{"id": {}, "media_asset": {"id": {}, "md5": {}}}``; an empty dictionary means "everything below"."""
    if len(text) > MAX_LENGTH:
        raise InvalidInput("only= is too long.")
    stack: list[Fields] = [{}]
    name = ""
    for letter in text + ",":
        if letter in ",[]":
            name = name.strip()
            if name:
                stack[-1].setdefault(name, {})
            if letter == "[":
                if not name or len(stack) > MAX_DEPTH:
                    raise InvalidInput("only= has a bracket where none can stand.")
                stack.append(stack[-1][name])
            elif letter == "]":
                if len(stack) == 1:
                    raise InvalidInput("only= closes a bracket that was not opened.")
                stack.pop()
            name = ""
        else:
            name += letter
    if len(stack) != 1:
        raise InvalidInput("only= leaves a bracket open.")
    return stack[0]


def prune(body: Any, only: str) -> Any:
    return _prune(body, parse(only))


def _prune(body: Any, fields: Fields) -> Any:
    if not fields:
        return body
    if isinstance(body, list):
        return [_prune(item, fields) for item in body]
    if isinstance(body, dict):
        return {name: _prune(body[name], inner) for name, inner in fields.items() if name in body}
    return body
