"""How the gallery's pages write numbers and names."""

from __future__ import annotations

from django import template

register = template.Library()


@register.filter
def percent(share: float | None) -> str:
    return "–" if share is None else f"{share:.0%}"


@register.filter
def spaced(name: str) -> str:
    return str(name).replace("_", " ")
