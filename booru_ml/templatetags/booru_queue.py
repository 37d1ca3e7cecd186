"""How the queue's page writes numbers."""

from __future__ import annotations

from typing import Any

from django import template

from booru_ml.admin.jobs import post_link
from booru_ml.progress import span

register = template.Library()
register.filter("post_link", post_link)


@register.filter
def thousands(number: float | None) -> str:
    """``12,345``; one decimal below ten where there is one."""
    if number is None:
        return "–"
    return f"{number:,.0f}" if number >= 10 or number == round(number) else f"{number:.1f}"


@register.filter
def duration(seconds: float | None) -> str:
    return "–" if seconds is None else span(seconds)


@register.filter
def percent(share: float) -> str:
    """Rounded down, so that 100 % means all."""
    return f"{int(100 * share)} %"


@register.filter
def since(job: Any, moment: str) -> str:
    """How long ago ``moment`` of a job was, by the database's clock that the job brought along as ``now``."""
    value = getattr(job, moment)
    return span(max(0.0, (job.now - value).total_seconds())) if value else "–"
