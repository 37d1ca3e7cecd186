"""The queue's pages in the admin, and what a reader sees of them."""

from __future__ import annotations

import re
from html import unescape

from moderation.models import Case

QUEUE = "/admin/booru_moderation/case/"


def page_of(case: Case) -> str:
    return f"{QUEUE}{case.pk}/change/"


def text(response) -> str:
    """What a reader sees: tags and runs of spaces gone."""
    body = re.sub(r"(?s)<(script|style)\b.*?</\1>", " ", response.content.decode())
    return unescape(re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", body)))
