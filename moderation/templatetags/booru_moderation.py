"""Small words for the queue's templates."""

from __future__ import annotations

from datetime import datetime

from django import template

from moderation.rules import percent

register = template.Library()

_UNITS = (("y", 365 * 86_400), ("d", 86_400), ("h", 3_600), ("min", 60))


register.filter("percent", percent)


@register.filter
def bar(share: float) -> str:
    """A width for an SVG bar, in percent of its box."""
    return f"{min(max(share, 0.0), 1.0) * 100:.1f}%"


@register.filter
def age(since: datetime, now: datetime) -> str:
    """``3 h``, ``2 d``: short enough for a card."""
    seconds = max((now - since).total_seconds(), 0)
    for name, size in _UNITS:
        if seconds >= size:
            return f"{int(seconds // size)} {name}"
    return "just now"


@register.filter
def undo_ids(tags: str | None) -> list[str]:
    """The decisions that a message offers to take back, out of its tags (``undo-12-13``)."""
    for tag in (tags or "").split():
        name, *ids = tag.split("-")
        if name == "undo" and ids and all(part.isascii() and part.isdigit() for part in ids):
            return ids
    return []


@register.filter
def spaced(name: str) -> str:
    """A tag as people read it: ``blue_eyes`` → ``blue eyes``; an emoticon (``^_^``) stays as it is."""
    return name.replace("_", " ") if any(letter.isalnum() for letter in name) else name


@register.filter
def web_address(source: str) -> str:
    """The source as a link's target if it is a web address; empty for anything else a browser might run."""
    address = source.strip()
    return address if address.lower().startswith(("http://", "https://")) else ""
