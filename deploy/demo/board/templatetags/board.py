"""Small helpers of the templates."""

from __future__ import annotations

from datetime import datetime, timedelta
from urllib.parse import urlencode

from django import template
from django.utils import timezone
from django.utils.timesince import timesince

from deploy.demo.board.models import Post, Tag

register = template.Library()


@register.filter
def category(tag: Tag) -> str:
    """``character``: the class that gives a tag its colour."""
    return Tag.Category(tag.category).name.lower()


@register.filter
def words(name: str) -> str:
    """A tag's name as people read it."""
    return name.replace("_", " ") if len(name) > 3 else name


@register.filter
def percent(share: float) -> str:
    """0.734 → 73 %"""
    return f"{share:.0%}".replace("%", "\u202f%")


@register.filter
def ago(moment: datetime) -> str:
    """``3 hours ago``, or ``just now``."""
    if timezone.now() - moment < timedelta(minutes=1):
        return "just now"
    return f"{timesince(moment, depth=1)} ago"


@register.filter
def tooltip(post: Post) -> str:
    names = " ".join(tag.name for tag in post.tags.all())
    return f"{names or 'no tags yet'} · rating:{post.rating}"


@register.filter
def is_web_link(source: str) -> bool:
    """Whether ``source`` may become a link; ``javascript:`` and the like stay text."""
    return source.startswith(("http://", "https://"))


@register.simple_tag
def search_url(path: str, **params: object) -> str:
    """``path?key=value`` without empty parameters."""
    query = urlencode({key: value for key, value in params.items() if value not in ("", None)})
    return f"{path}?{query}" if query else path
