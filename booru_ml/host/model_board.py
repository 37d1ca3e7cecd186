"""The adapter for any Django board: one post model, described by ``BOORU_ML``.

Subclass it for what a field map cannot say, and name the subclass in ``BOORU_ML["ADAPTER"]``::

    class MyBoard(ModelBoard):
        def tags_changed(self, post):
            post.refresh_tags_mirror()
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, BinaryIO, cast

from django.apps import apps
from django.core.files.storage import Storage, default_storage
from django.db import DatabaseError, InterfaceError, router, transaction
from django.db.models import DateField, DateTimeField, FileField, Model, QuerySet
from django.db.models.functions import Now
from django.utils import timezone
from django.utils.functional import cached_property

from booru_ml.conf import config, post_model
from booru_ml.errors import InvalidInput, NotFound
from booru_ml.host.tag_store import NoTags, RelatedTags, TagStore, TextTags, is_relation
from booru_ml.pipeline.hooks import writing_back
from booru_ml.statements import kept, slot, slots
from booru_ml.types import PostFacts, Rating, TagRef

logger = logging.getLogger(__name__)

KEY_LENGTH = 64


class ModelBoard:
    """A ``HostBoard`` over ``POST_MODEL``. Roles that ``FIELDS`` leaves out read empty and write nothing."""

    # --- What a subclass may change ---

    def tags_changed(self, post: Any) -> None:
        """Called after tags of ``post`` were written, in the same transaction: refresh mirrors, counts and indexes."""

    def accepts_tag(self, name: str) -> bool:
        """Whether ``name`` may enter the tag list. A colon makes a metatag on most boards, a space ends a tag."""
        return bool(name) and ":" not in name and name.isprintable() and not any(char.isspace() for char in name)

    def post_url(self, post: Any) -> str:
        return str(post.get_absolute_url()) if hasattr(post, "get_absolute_url") else ""

    def thumbnail_url(self, post: Any) -> str:
        """A small picture of ``post``; the picture itself where the board has no smaller one."""
        return self._url(self._value(post, "thumbnail")) or self._url(self._value(post, "picture"))

    # --- Reading ---

    def content_key(self, post: Any) -> str:
        """The host's own hash, else a fingerprint of the file's name and size; empty without a picture."""
        picture = getattr(post, self._fields["picture"])
        if not picture:
            return ""
        name = self._fields.get("content_key")
        known = str(getattr(post, name) or "") if name else ""
        if not known:
            known = hashlib.sha256(f"{picture}\n{self._size(picture)}".encode()).hexdigest()
        return known if len(known) <= KEY_LENGTH else hashlib.sha256(known.encode()).hexdigest()

    def uploader_id(self, post: Any) -> Any:
        return self._value(post, "uploader")

    def open_picture(self, post_id: Any) -> BinaryIO:
        found = _picture(self._posts.db, self._model, self._fields["picture"]).rows(**{self._meta.pk.name: post_id})
        if not found or not (name := found[0][0]):
            raise NotFound(f"Post {post_id} is gone or has no picture.")
        try:
            return cast(BinaryIO, self._storage.open(str(name), "rb"))
        except FileNotFoundError:
            raise NotFound(f"The file {name} of post {post_id} is not in the storage.") from None

    def facts(self, post_ids: Iterable[Any]) -> dict[Any, PostFacts]:
        found = _by_ids(self._posts.db, self._model).rows(**{self._meta.pk.name: post_ids})
        posts = {post.pk: post for post in found}
        tags = self._tags.of(list(posts.values()))
        return {pk: self._facts(post, frozenset(tags.get(pk, ()))) for pk, post in posts.items()}

    def search(self, tag: TagRef, *, limit: int = 100) -> list[Any]:
        return self._tags.search(self._posts, tag, limit)

    def walk(
        self, *, after: Any = None, since: datetime | None = None, tags: Sequence[str] = (), limit: int = 500
    ) -> list[Any]:
        posts = self._matching(since, tags).order_by("-pk")
        return list((posts if after is None else posts.filter(pk__lt=after))[:limit])

    def count(self, *, since: datetime | None = None, tags: Sequence[str] = ()) -> int:
        return int(self._matching(since, tags).count())

    # --- Writing ---

    def add_tags(self, post_id: Any, tags: Sequence[TagRef]) -> tuple[TagRef, ...]:
        welcome = [tag for tag in dict.fromkeys(tags) if tag.category.is_tag and self.accepts_tag(tag.name)]
        return self._write_tags(post_id, welcome, self._tags.add)

    def remove_tags(self, post_id: Any, tags: Sequence[TagRef]) -> tuple[TagRef, ...]:
        return self._write_tags(post_id, list(dict.fromkeys(tags)), self._tags.remove)

    def set_rating(self, post_id: Any, rating: Rating | None) -> Rating | None:
        name = self._fields.get("rating")
        if not name:
            return None
        if rating is None and not self._meta.get_field(name).null:
            raise InvalidInput("This board's posts cannot be without a rating.")
        before = self._set(post_id, name, None if rating is None else config().RATINGS[rating])
        return cast("Rating | None", _ours(before, config().RATINGS, Rating))

    def set_status(self, post_id: Any, status: str) -> str:
        if status not in config().STATUSES:
            raise InvalidInput(f"This board has no status for {status!r}.")
        name = self._fields.get("status")
        if not name:
            return "active"
        return _ours(self._set(post_id, name, config().STATUSES[status]), config().STATUSES, str) or "active"

    # --- Underneath ---

    @cached_property
    def _model(self) -> type[Model]:
        return apps.get_model(post_model())

    @property
    def _meta(self) -> Any:
        return self._model._meta

    @property
    def _posts(self) -> Any:
        return self._model._base_manager.all()

    @property
    def _fields(self) -> Mapping[str, str]:
        return config().FIELDS

    def _matching(self, since: datetime | None, tags: Sequence[str]) -> Any:
        posts = self._posts
        if since is not None:
            field = self._created
            day_only = not isinstance(field, DateTimeField)
            posts = posts.filter(**{f"{field.name}__gte": timezone.localdate(since) if day_only else since})
        return self._tags.carrying(posts, tags) if tags else posts

    @cached_property
    def _created(self) -> Any:
        """The field with a post's time: the one that the map names, else the only one that fills itself with it."""
        if name := self._fields.get("created"):
            return self._meta.get_field(name)
        dates = [field for field in self._meta.concrete_fields if isinstance(field, DateField)]
        filled = [
            field
            for field in dates
            if field.auto_now_add or field.default is timezone.now or isinstance(field.db_default, Now)
        ]
        if len(filled) == 1:
            return filled[0]
        names = ", ".join(field.name for field in dates)
        raise InvalidInput(
            "This board does not say when a post was made. "
            + (
                f'Name the field in BOORU_ML["FIELDS"]["created"]; there are {names}.'
                if names
                else "It has no such field."
            )
        )

    @cached_property
    def _storage(self) -> Storage:
        field = self._meta.get_field(self._fields["picture"])
        return field.storage if isinstance(field, FileField) else default_storage

    @cached_property
    def _tags(self) -> TagStore:
        name = self._fields.get("tags")
        if not name:
            return NoTags()
        field = self._meta.get_field(name)
        return RelatedTags(field) if is_relation(field) else TextTags(field)

    def _size(self, picture: Any) -> int | str:
        try:
            if not isinstance(picture, str):
                return int(picture.size if picture.closed else picture.file.size)
            return self._storage.size(picture)
        except Exception:  # whatever the board's storage raises: the name alone has to do
            return "unknown"

    def _facts(self, post: Any, tags: frozenset[TagRef]) -> PostFacts:
        return PostFacts(
            id=post.pk,
            tags=tags,
            rating=_ours(self._value(post, "rating"), config().RATINGS, Rating),
            source=str(self._value(post, "source") or ""),
            uploader_id=self.uploader_id(post),
            status=_ours(self._value(post, "status"), config().STATUSES, str) or "active",
            url=self._address(lambda: self.post_url(post)),
            picture_url=self._url(self._value(post, "picture")),
            thumbnail_url=self._address(lambda: self.thumbnail_url(post)),
        )

    def _value(self, post: Any, role: str) -> Any:
        """What the column holds: of a foreign key the key itself, without a query."""
        name = self._fields.get(role)
        return getattr(post, self._meta.get_field(name).attname) if name else None

    def _url(self, picture: Any) -> str:
        if not picture:
            return ""
        return self._address(lambda: self._storage.url(picture) if isinstance(picture, str) else picture.url)

    @staticmethod
    def _address(tell: Callable[[], Any]) -> str:
        """Empty where the board or its storage has none to tell: no analysis fails for want of a link."""
        try:
            return str(tell() or "")
        except (DatabaseError, InterfaceError):
            raise
        except Exception as error:
            logger.debug("no address: %r", error)
            return ""

    def _locked(self, post_id: Any) -> Any:
        """The post, locked until the transaction ends, so that a delta is the delta of one writer."""
        post = self._posts.select_for_update(no_key=True, of=("self",)).filter(pk=post_id).first()
        if post is None:
            raise NotFound(f"There is no post {post_id}.")
        return post

    def _write_tags(self, post_id: Any, tags: Sequence[TagRef], write: Any) -> tuple[TagRef, ...]:
        with writing_back(), transaction.atomic(using=router.db_for_write(self._model)):
            post = self._locked(post_id)
            delta = tuple(write(post, tags)) if tags else ()
            if delta:
                self.tags_changed(post)
        return delta

    def _set(self, post_id: Any, name: str, value: Any) -> Any:
        with writing_back(), transaction.atomic(using=router.db_for_write(self._model)):
            post = self._locked(post_id)
            attribute = self._meta.get_field(name).attname
            before = getattr(post, attribute)
            if before != value:
                setattr(post, attribute, value)
                post.save(update_fields=[name])
        return before


def _ours(value: Any, mapping: Mapping[str, Any], kind: Any) -> Any:
    """Our word for the host's value; None where it has none."""
    return next((kind(ours) for ours, theirs in mapping.items() if theirs == value), None)


@kept
def _picture(using: str, model: type[Model], field: str) -> QuerySet[Any]:
    """Where the file of a post is: asked for every picture, so its SQL is kept."""
    posts = model._base_manager.using(using).filter(pk=slot(model, model._meta.pk.name))
    return posts.order_by().values_list(field)


@kept
def _by_ids(using: str, model: type[Model]) -> QuerySet[Any]:
    return model._base_manager.using(using).filter(pk__in=slots(model, model._meta.pk.name))
