"""An enrolment or a change that was tried first: the same wish is shown as a dry run, and carried out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.db import transaction

from booru_ml.errors import NotPermitted
from embeddings import services as embeddings
from embeddings.selectors import ENROL
from embeddings.types import Preview, SupportRef
from tagging import sweeps
from tagging.models import Sweep


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """A subject by ``subject_id`` or, perhaps new, by ``name``; what it would gain (``show``, ``show_not``) and lose
    (``without``, ids of supports); ``merged_id`` names one whose pictures it would take over."""

    subject_id: int | None = None
    name: str = ""
    category: str = "character"
    show: tuple[SupportRef, ...] = ()
    show_not: tuple[SupportRef, ...] = ()
    without: tuple[int, ...] = ()
    merged_id: int | None = None


def preview(wish: Wish) -> Preview:
    """Which posts would be suggested it. Writes nothing; raises ``InvalidInput`` and ``NotFound``."""
    return embeddings.preview(
        subject_id=wish.subject_id,
        name=wish.name,
        category=wish.category,
        show=wish.show,
        show_not=wish.show_not,
        without=wish.without,
        merged_id=wish.merged_id,
    )


@transaction.atomic
def carry_out(wish: Wish, *, actor: Any, threshold: float | None = None) -> Sweep:
    """Writes the wish into the gallery, enables the subject, and orders the search of old posts: all or nothing.

    Each part is a change of its own in the gallery's history. Raises ``NotPermitted`` and what the verbs raise.
    """
    if actor is not None and not actor.has_perm(ENROL):
        raise NotPermitted("Only who has the right to enrol characters and artists may change them.")
    subject_id = wish.subject_id
    if subject_id is None:
        subject_id = _named(wish, actor)
    elif wish.show:
        embeddings.add_support(subject_id=subject_id, posts=wish.show, actor=actor)
    if wish.merged_id is not None:
        embeddings.merge(subject_id=wish.merged_id, into_id=subject_id, actor=actor)
    if wish.show_not:
        embeddings.add_support(subject_id=subject_id, posts=wish.show_not, positive=False, actor=actor)
    for support_id in wish.without:
        embeddings.remove_support(support_id=support_id, actor=actor)
    embeddings.set_enabled(subject_id=subject_id, enabled=True, actor=actor)
    return sweeps.begin(subject_id=subject_id, threshold=threshold, actor=actor)


def _named(wish: Wish, actor: Any) -> int:
    known = embeddings.named(wish.name, wish.category)
    if known is not None and not wish.show:
        return int(known.pk)
    return int(embeddings.enrol(name=wish.name, category=wish.category, posts=wish.show, actor=actor).pk)


def written(posts: Sequence[SupportRef]) -> str:
    """The opposite of ``embeddings.services.parse_references``."""
    return " ".join(f"{item.post_id}:{item.number}" if item.kind == "face" else str(item.post_id) for item in posts)
