"""Danbooru's pages: ``page=2``, ``page=b1000`` (before that id), ``page=a1000`` (after it); ``limit=``."""

from __future__ import annotations

import re
from typing import TypeVar

from django.db.models import Model, QuerySet
from django.http import HttpRequest

from booru_ml.errors import BooruError

MAX_PAGE = 1000
_PAGE = re.compile(r"^([ab]?)(\d{1,15})$")

Row = TypeVar("Row", bound=Model)


class PageTooFar(BooruError):
    code = "page"
    status = 410


def limit_of(request: HttpRequest, *, default: int, most: int) -> int:
    """``limit`` within 0–``most``; what is no number counts as absent, as it does on Danbooru."""
    text = request.GET.get("limit", "")
    return min(int(text), most) if text.isascii() and text.isdigit() and len(text) < 10 else default


def paginate(rows: QuerySet[Row], request: HttpRequest, *, limit: int) -> list[Row]:
    """One page of ``rows``. Pages by id ignore the queryset's order and come newest first, also after ``a``."""
    match = _PAGE.match(request.GET.get("page", "1"))
    side, number = (match[1], int(match[2])) if match else ("", 1)
    if side == "b":
        return list(rows.filter(pk__lt=number).order_by("-pk")[:limit])
    if side == "a":
        return list(rows.filter(pk__gt=number).order_by("pk")[:limit])[::-1]
    if number > MAX_PAGE:
        raise PageTooFar(f"You cannot go beyond page {MAX_PAGE}. Use page=b<id> to go on.")
    first = (max(number, 1) - 1) * limit
    return list(rows[first : first + limit])


def search_param(request: HttpRequest, name: str) -> str:
    """``search[name]`` without NULs, which no database compares."""
    return request.GET.get(f"search[{name}]", "").replace("\0", "")


def integers(text: str, *, most: int = 1000) -> list[int]:
    """The numbers in ``1,2,3``; what is none is left out, as it is on Danbooru."""
    parts = [part.strip() for part in text.split(",")[:most]]
    return [int(part) for part in parts if part.isascii() and part.isdigit() and len(part) < 16]


def as_bool(text: str) -> bool | None:
    return {"yes": True, "true": True, "1": True, "no": False, "false": False, "0": False}.get(text.lower())
