"""How the page of a trial writes shares."""

from __future__ import annotations

from django import template

register = template.Library()


@register.filter
def share(value: float | None) -> str:
    return "–" if value is None else f"{value:.0%}"
