"""Names and pictures as people give them, checked before anything is written."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from django.apps import apps

from booru_ml import vocabulary
from booru_ml.conf import post_model
from booru_ml.errors import InvalidInput, NotFound
from booru_ml.http import post_key
from embeddings.models import Subject, Vector
from embeddings.types import SupportRef

MOST_POSTS = 200
"""The most pictures that one form or request may name."""


def clean_name(name: str) -> str:
    """A tag with spaces as underscores. Raises ``InvalidInput`` for what could never be suggested."""
    try:
        vocabulary.normalise(str(name))
    except InvalidInput as error:
        raise InvalidInput(f"A name is a tag. {error.message}", field="name") from None
    return vocabulary.spelt(str(name))


def named(name: str, category: str) -> Subject | None:
    """Who bears this name in whatever case, for that is one tag. Raises ``InvalidInput`` for a name that is none."""
    return bearer(clean_name(name), category)


def bearer(name: str, category: str, *, but: int = 0) -> Subject | None:
    """As ``named``, of a name that is clean; not the one with the id ``but``."""
    rows = Subject.objects.filter(category=category).exclude(pk=but).order_by("pk")
    exact = rows.filter(name=name).first()
    if exact or name.isascii():
        return exact or rows.filter(name__iexact=name).first()
    # Of other letters SQLite knows no case, PostgreSQL what its locale knows.
    tag = name.lower()
    return rows.filter(pk__in=[pk for pk, other in rows.values_list("pk", "name") if other.lower() == tag]).first()


def category_of(category: str) -> Subject.Category:
    try:
        return Subject.Category(category)
    except ValueError:
        raise InvalidInput("The category is character or artist.", field="category") from None


def parse_reference(text: str) -> SupportRef:
    """``12`` is a post, ``12:0`` the first face in it. Raises ``InvalidInput``."""
    post, colon, number = text.partition(":")
    if colon and not (number.isascii() and number.isdigit() and len(number) < 4):
        raise InvalidInput(f"{text[:60]}: write a post's id, or id:face with the face's number from 0.")
    try:
        key = post_key(post)
    except NotFound:
        raise InvalidInput(f"{post[:60]} is no post id of this board.") from None
    return SupportRef(key, "face" if colon else "picture", int(number or 0))


def parse_references(text: str) -> tuple[SupportRef, ...]:
    """``12 13, 14:0`` as pictures, each once. Raises ``InvalidInput``."""
    items = re.split(r"[\s,]+", text.strip()) if text.strip() else []
    if len(items) > MOST_POSTS:
        raise InvalidInput(f"At most {MOST_POSTS} pictures at once.")
    return tuple(dict.fromkeys(parse_reference(item) for item in items))


def speaking(posts: Sequence[SupportRef], *, category: str) -> list[SupportRef]:
    """The vectors that speak for a subject of this category, each once; every post and face exists.

    Artists are known by their style, whatever picture was named. Raises ``InvalidInput`` and ``NotFound``.
    """
    artist = category == Subject.Category.ARTIST
    wanted = list(dict.fromkeys(_speaking(item, artist=artist) for item in posts))
    _check_posts([item.post_id for item in wanted])
    places = boxes(wanted)
    for item in wanted:
        if item.kind == Vector.Kind.FACE and item not in places:
            raise InvalidInput(f"Post {item.post_id} has no face number {item.number}.", field="number")
    return wanted


def boxes(items: Sequence[SupportRef]) -> dict[SupportRef, dict[str, float]]:
    """Where the faces named are, as the latest model saw them; pictures have no place."""
    faces = {item for item in items if item.kind == Vector.Kind.FACE}
    rows = Vector.objects.filter(post_id__in={item.post_id for item in faces}, kind=Vector.Kind.FACE).order_by("id")
    found = {
        SupportRef(post_id, Vector.Kind.FACE.value, number): box
        for post_id, number, box in rows.values_list("post_id", "number", "box")
    }
    return {item: box for item, box in found.items() if item in faces and box}


def _speaking(item: SupportRef, *, artist: bool) -> SupportRef:
    """Which vector speaks for a subject of this category; artists are known by their style."""
    kinds = (Vector.Kind.PICTURE, Vector.Kind.STYLE) if artist else (Vector.Kind.PICTURE, Vector.Kind.FACE)
    if item.kind not in kinds:
        who = "an artist by pictures" if artist else "a character by pictures or faces"
        raise InvalidInput(f"The gallery knows {who}, not by {item.kind}.", field="kind")
    if not 0 <= item.number <= 999 or (item.number and item.kind != Vector.Kind.FACE):
        raise InvalidInput("The number says which face, from 0; pictures have none.", field="number")
    return SupportRef(item.post_id, Vector.Kind.STYLE.value if artist else str(item.kind), item.number)


def _check_posts(post_ids: Sequence[Any]) -> None:
    known = set(apps.get_model(post_model())._base_manager.filter(pk__in=post_ids).values_list("pk", flat=True))
    if missing := [post_id for post_id in dict.fromkeys(post_ids) if post_id not in known]:
        names = ", ".join(str(item) for item in missing[:10])
        raise NotFound(f"No such post: {names}.", posts=[str(item) for item in missing[:100]])
