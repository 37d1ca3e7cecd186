"""Tag names as Danbooru writes them. Pure: text in, ``TagRef`` or ``InvalidInput`` out."""

from __future__ import annotations

import re
import unicodedata

from booru_ml.errors import InvalidInput
from booru_ml.types import Category, Rating, TagRef

MAX_LENGTH = 170

_METATAGS = """
age approver arttags artcomm artist art ch char character chartags child co comm commenter copy copyright copytags
date delreason disapproved duration embedded exif fav favcount favgroup filesize filetype flagger gen general gentags
has height id is limit locked md5 meta metatags mpixels noter order ordfav ordpool parent pixelhash pixiv pixiv_id
pool random rating ratio score search source status tagcount unaliased updated user width
"""
# Prefixes that boards read as commands or categories. A colon elsewhere is part of a name (``:d``, ``re:zero``).
METATAGS = frozenset(_METATAGS.split())
_SPACES = re.compile(r"[\s_]+")
_HIDDEN = frozenset({"Cc", "Cf", "Cs", "Co", "Cn"})
_FIRST = "-~%`)}]/"


def normalise(name: str, category: Category = Category.GENERAL) -> TagRef:
    """``Blue  Eyes`` → ``blue_eyes``. Raises ``InvalidInput`` (code ``tag_name``) with a sentence that says why.

    Ratings are checked against g, s, q, e; they and quality grades never become tags, but share the rules of names.
    """
    text = spelt(name).lower()
    shown = ascii(text[:40])[1:-1]
    if not text:
        raise InvalidInput("A tag needs at least one character.", code="tag_name")
    if len(text) > MAX_LENGTH:
        raise InvalidInput(f"The tag {shown}… is longer than {MAX_LENGTH} characters.", code="tag_name")
    if any(unicodedata.category(letter) in _HIDDEN for letter in text):
        raise InvalidInput(f"The tag {shown} contains invisible characters; type it anew.", code="tag_name")
    if text[0] in _FIRST or "*" in text or "," in text:
        raise InvalidInput(
            f"The tag {shown} begins with one of {_FIRST} or contains * or a comma, which searches use.",
            code="tag_name",
        )
    prefix, colon, rest = text.partition(":")
    if colon and rest and prefix in METATAGS:
        raise InvalidInput(f"{shown} is a search term, not a tag: {prefix}: has a meaning of its own.", code="tag_name")
    if category is Category.RATING and text not in set(Rating):
        raise InvalidInput(f"A rating is one of {', '.join(Rating)}, not {shown}.", code="tag_name")
    return TagRef(text, category)


def spelt(name: str) -> str:
    """``Blue  Eyes`` → ``Blue_Eyes``: as a tag but for the case of its letters, and unchecked."""
    return _SPACES.sub("_", unicodedata.normalize("NFC", name).strip()).strip("_")


def tag_or_none(name: str, category: Category) -> TagRef | None:
    """``normalise`` for label files, whose odd entries are skipped rather than refused."""
    try:
        return normalise(name, category)
    except InvalidInput:
        return None
