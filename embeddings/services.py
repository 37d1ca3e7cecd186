"""The verbs of this app. Every change of the gallery raises its revision, so that all processes see it at once."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from django.apps import apps
from django.db import IntegrityError, transaction
from django.db.models import Q

from booru_ml.conf import post_model
from booru_ml.errors import InvalidInput, NotFound, StaleState
from booru_ml.types import Analysis, FloatArray
from embeddings import gallery, recognition, similar, store
from embeddings.calibration import active_version, calibration
from embeddings.models import Subject, Support, Vector
from embeddings.types import Match, Neighbour, SupportRef

LEARNED = 64
"""Supports of one sign that decisions may add to a subject; what people enrol is not counted."""
NEIGHBOURS = 200


# --- What the pipeline calls -------------------------------------------------------------------------------------


@transaction.atomic
def remember(analyses: Sequence[Analysis]) -> None:
    """Keeps the vectors of these analyses; of two for one post the later job speaks."""
    latest = {item.post_id: item for item in sorted(analyses, key=lambda item: item.job_id)}
    written = store.write(latest.values())
    if written.replaced or Support.objects.filter(post_id__in=written.added).exists():
        gallery.bump()


def recognise(analysis: Analysis) -> tuple[Match, ...]:
    """Who is in this picture and who drew it; the most probable first, ``known`` only where it is sure enough."""
    return recognise_all([analysis])[0]


def recognise_all(analyses: Sequence[Analysis]) -> list[tuple[Match, ...]]:
    """As ``recognise`` for a batch, with one look at the gallery's revision."""
    asked = [recognition.question(item) for item in analyses]
    answers = iter(recognition.answer([item for item in asked if item]))
    return [next(answers) if item else () for item in asked]


def rematch(post_ids: Sequence[Any], *, model_version: str | None = None) -> dict[Any, tuple[Match, ...]]:
    """What ``recognise`` would say today of posts that were embedded before, without a network pass or a write.

    Posts without vectors of the active (or given) model version are left out.
    """
    asked = recognition.stored_questions(post_ids, model_version or active_version())
    return dict(zip([item.post_id for item in asked], recognition.answer(asked), strict=True))


# --- Subjects ----------------------------------------------------------------------------------------------------


@transaction.atomic
def enrol(*, name: str, category: str = "character", posts: Sequence[SupportRef], actor: Any) -> Subject:
    """Makes a subject known by these pictures, or adds them to the one of that name.

    A picture that is not analysed yet counts from the moment it is. Raises ``InvalidInput`` and ``NotFound``.
    """
    if not posts:
        raise InvalidInput("Give at least one post that shows the subject.")
    subject, _ = Subject.objects.get_or_create(
        name=clean_name(name), category=_category(category), defaults={"created_by": actor}
    )
    _add(subject, posts, actor=actor)
    return subject


@transaction.atomic
def add_support(
    *, subject_id: int, posts: Sequence[SupportRef], positive: bool = True, actor: Any
) -> tuple[Support, ...]:
    """Adds pictures that show the subject (or, not ``positive``, that do not); returns the new rows.

    A picture that stands there already takes the new sign. Raises ``InvalidInput`` and ``NotFound``.
    """
    return _add(_subject(subject_id), posts, actor=actor, positive=positive)


@transaction.atomic
def remove_support(*, support_id: int) -> None:
    """Raises ``NotFound`` where somebody else was faster."""
    if not Support.objects.filter(pk=support_id).delete()[0]:
        raise NotFound("This support picture is gone already.")
    gallery.bump()


@transaction.atomic
def rename(*, subject_id: int, name: str) -> Subject:
    """Raises ``StaleState`` where another subject of the category bears the name."""
    new = clean_name(name)
    try:
        with transaction.atomic():
            changed = Subject.objects.filter(pk=subject_id).update(name=new)
    except IntegrityError:
        raise StaleState(f"Another subject is called {new} already.", code="name_taken") from None
    if not changed:
        raise NotFound("There is no such character or artist.")
    gallery.bump()
    return _subject(subject_id)


@transaction.atomic
def set_enabled(*, subject_id: int, enabled: bool) -> Subject:
    """A disabled subject keeps its pictures but is not compared with new ones."""
    if not Subject.objects.filter(pk=subject_id).update(enabled=enabled):
        raise NotFound("There is no such character or artist.")
    gallery.bump()
    return _subject(subject_id)


@transaction.atomic
def withdraw(*, subject_id: int) -> None:
    """Forgets a subject and its supports; tags on posts stay. Raises ``NotFound``."""
    if not Subject.objects.filter(pk=subject_id).delete()[0]:
        raise NotFound("There is no such character or artist.")
    gallery.bump()


# --- Learning from decisions -------------------------------------------------------------------------------------


@transaction.atomic
def learn(*, post_id: Any, name: str, category: str, positive: bool, actor: Any, face: int | None = None) -> int | None:
    """Lets a decision on a suggestion teach the gallery: accepted pictures show the subject, rejected ones do not.

    Returns the new support's id, which ``unlearn`` takes back; None where there is nothing to learn: nobody enrolled by
    that name, the picture known already, or ``LEARNED`` of its sign reached. What people enrolled by hand is never
    overturned by a decision.
    """
    subject = Subject.objects.filter(name=name, category=category).first()
    if subject is None:
        return None
    kind = Vector.Kind.STYLE if category == Subject.Category.ARTIST else Vector.Kind.PICTURE
    if face is not None and positive and kind == Vector.Kind.PICTURE:
        kind = Vector.Kind.FACE
    number = face if face is not None and kind == Vector.Kind.FACE else 0
    if subject.supports.filter(learned=True, positive=positive).count() >= LEARNED:
        return None
    box = _boxes([SupportRef(post_id, kind, number)]).get((post_id, number)) if kind == Vector.Kind.FACE else None
    support, new = Support.objects.get_or_create(
        subject=subject,
        post_id=post_id,
        kind=kind,
        number=number,
        defaults={"positive": positive, "learned": True, "added_by": actor, "box": box},
    )
    if not new:
        return None
    gallery.bump()
    return int(support.pk)


@transaction.atomic
def unlearn(*, support_id: int) -> bool:
    """Takes back what ``learn`` added; False where it is gone already."""
    if not Support.objects.filter(pk=support_id, learned=True).delete()[0]:
        return False
    gallery.bump()
    return True


# --- Neighbours --------------------------------------------------------------------------------------------------


def near(
    *,
    post_id: Any = None,
    vector: FloatArray | None = None,
    kind: str = "picture",
    number: int = 0,
    limit: int = 10,
    model_version: str | None = None,
) -> tuple[Neighbour, ...]:
    """The posts most like a post (itself left out) or a vector (D,); best first.

    Raises ``NotFound`` where the post has no such vector (yet), ``InvalidInput`` for an unusable question.
    """
    if kind not in Vector.Kind.values or not 1 <= limit <= NEIGHBOURS:
        raise InvalidInput(f"Ask for picture, style or face and for 1 to {NEIGHBOURS} neighbours.")
    if vector is not None:
        query = store.decode([store.encode(vector)])[0]
        return similar.nearest(query, model_version=model_version or active_version(), kind=kind, limit=limit)
    rows = Vector.objects.filter(post_id=post_id, kind=kind, number=number)
    row = (rows.filter(model_version=model_version) if model_version else rows).order_by("-id").first()
    if row is None:
        raise NotFound("This post has no such vector; it may be waiting for its analysis.", code="not_analysed")
    return similar.nearest(
        store.decode([row.data])[0], model_version=row.model_version, kind=kind, limit=limit, without=row.post_id
    )


def twins(*, post_id: Any, limit: int = 10) -> tuple[Neighbour, ...]:
    """Posts that show the same picture in another file, best first; none where the post has no vector (yet)."""
    row = Vector.objects.filter(post_id=post_id, kind=Vector.Kind.PICTURE).order_by("-id").first()
    if row is None:
        return ()
    least = calibration(row.model_version, row.kind).twin
    found = near(post_id=post_id, model_version=row.model_version, limit=limit)
    return tuple(item for item in found if item.similarity >= least)


# --- Checks ------------------------------------------------------------------------------------------------------


def clean_name(name: str) -> str:
    """A tag as boards write it: spaces become underscores. Raises ``InvalidInput``."""
    cleaned = re.sub(r"\s+", "_", str(name).strip())
    if not cleaned or len(cleaned) > 200 or not cleaned.isprintable() or cleaned[0] in "-~" or set(cleaned) & set(",*"):
        raise InvalidInput(
            "A name is a tag: 1 to 200 printable characters, no ',' or '*', not beginning with '-' or '~'.",
            field="name",
        )
    return cleaned


def _category(category: str) -> Subject.Category:
    try:
        return Subject.Category(category)
    except ValueError:
        raise InvalidInput("The category is character or artist.", field="category") from None


def _subject(subject_id: int) -> Subject:
    try:
        return Subject.objects.get(pk=subject_id)
    except Subject.DoesNotExist:
        raise NotFound("There is no such character or artist.") from None


def _add(subject: Subject, posts: Sequence[SupportRef], *, actor: Any, positive: bool = True) -> tuple[Support, ...]:
    artist = subject.category == Subject.Category.ARTIST
    wanted = list(dict.fromkeys(_speaking(item, artist=artist) for item in posts))
    _check_posts([item.post_id for item in wanted])
    boxes = _boxes(wanted)
    for item in wanted:
        if item.kind == Vector.Kind.FACE and (item.post_id, item.number) not in boxes:
            raise InvalidInput(f"Post {item.post_id} has no face number {item.number}.", field="number")
    present = {
        (row.post_id, row.kind, row.number): row
        for row in subject.supports.filter(post_id__in=[item.post_id for item in wanted])
    }
    fresh = [
        Support(
            subject=subject,
            post_id=item.post_id,
            kind=item.kind,
            number=item.number,
            box=boxes.get((item.post_id, item.number)) if item.kind == Vector.Kind.FACE else None,
            positive=positive,
            added_by=actor,
        )
        for item in wanted
        if (item.post_id, item.kind, item.number) not in present
    ]
    kept = [row.pk for key, row in present.items() if SupportRef(*key) in wanted]
    Support.objects.filter(pk__in=kept).update(positive=positive, learned=False, added_by=actor)
    Support.objects.bulk_create(fresh, ignore_conflicts=True)
    gallery.bump()
    added = {(item.post_id, item.kind, item.number) for item in fresh}
    rows = subject.supports.filter(post_id__in=[item.post_id for item in fresh])
    return tuple(row for row in rows if (row.post_id, row.kind, row.number) in added)


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


def _boxes(items: Sequence[SupportRef]) -> dict[tuple[Any, int], dict[str, float]]:
    """Boxes of the faces named, as the latest model saw them."""
    faces = [item for item in items if item.kind == Vector.Kind.FACE]
    rows = Vector.objects.filter(Q(post_id__in={item.post_id for item in faces}), kind=Vector.Kind.FACE)
    named = {(item.post_id, item.number) for item in faces}
    found = rows.order_by("id").values_list("post_id", "number", "box")
    return {(post_id, number): box for post_id, number, box in found if (post_id, number) in named and box}
