"""Tag names as people type them, and what a board stores. Pure text in, values out."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass

from booru_ml.errors import InvalidInput

MAX_NAME = 170
MAX_TAGS = 300

CATEGORY_PREFIXES = {
    "general": 0,
    "gen": 0,
    "artist": 1,
    "art": 1,
    "copyright": 3,
    "copy": 3,
    "co": 3,
    "character": 4,
    "char": 4,
    "ch": 4,
    "meta": 5,
}
METATAGS = frozenset(
    {"rating", "status", "order", "user", "id", "md5", "source", "width", "height", "filesize", "filetype", "tagcount"}
    | {"limit", "date", "age"}
)
_SPACES = re.compile(r"[\s_]+")


@dataclass(frozen=True, slots=True)
class TypedTag:
    """A tag from a tag box; ``category`` is Danbooru's number where a prefix named one."""

    name: str
    category: int | None = None


@dataclass(frozen=True, slots=True)
class TypedTags:
    tags: tuple[TypedTag, ...]
    rating: str | None = None
    source: str | None = None


def normalise(name: str) -> str:
    """``Blue  Eyes`` → ``blue_eyes``. Raises ``InvalidInput`` with a sentence that says what to change."""
    cleaned = unicodedata.normalize("NFC", name).strip().lower()
    cleaned = _SPACES.sub("_", cleaned).strip("_")
    if not cleaned:
        raise InvalidInput("A tag needs at least one character.", code="tag_name")
    shown = cleaned if len(cleaned) <= 40 else f"{cleaned[:40]}…"
    if len(cleaned) > MAX_NAME:
        raise InvalidInput(f"The tag “{shown}” is longer than {MAX_NAME} characters.", code="tag_name")
    if any(unicodedata.category(letter) in ("Cc", "Cf", "Cs", "Co", "Cn") for letter in cleaned):
        raise InvalidInput(f"The tag “{shown!a}” has invisible characters; type it anew.", code="tag_name")
    if cleaned[0] in "-~" or "*" in cleaned or "," in cleaned:
        raise InvalidInput(
            f"The tag “{shown}” may not begin with - or ~ nor contain * or a comma: searches use these.",
            code="tag_name",
        )
    if cleaned.partition(":")[0] in METATAGS and ":" in cleaned:
        raise InvalidInput(f"“{shown}” is a search term, not a tag.", code="tag_name")
    return cleaned


def parse(text: str) -> TypedTags:
    """The content of a tag box: names apart by white space, ``artist:name`` for a category, ``rating:q``, ``source:…``.

    Raises ``InvalidInput`` for names that cannot be stored and for more than ``MAX_TAGS`` of them.
    """
    found: dict[str, TypedTag] = {}
    rating = source = None
    for word in text.split():
        prefix, colon, rest = word.partition(":")
        prefix = prefix.lower()
        if colon and prefix == "rating" and rest[:1].lower() in tuple("gsqe"):
            rating = rest[0].lower()
        elif colon and prefix == "source":
            source = rest
        elif colon and rest and prefix in CATEGORY_PREFIXES:
            name = normalise(rest)
            found[name] = TypedTag(name, CATEGORY_PREFIXES[prefix])
        else:
            name = normalise(word)
            found.setdefault(name, TypedTag(name))
    if len(found) > MAX_TAGS:
        raise InvalidInput(f"A post takes at most {MAX_TAGS} tags; these are {len(found)}.", code="too_many_tags")
    return TypedTags(tuple(found.values()), rating, source)
