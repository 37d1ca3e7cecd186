"""How a board keeps its posts' tags: rows of a tag model, or words in a text field. Callers hold the post's lock."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from django.db import router
from django.db.models import Model, QuerySet

from booru_ml.conf import config
from booru_ml.statements import kept, slots
from booru_ml.types import Category, TagRef


class TagStore(Protocol):
    def of(self, posts: Sequence[Any]) -> Mapping[Any, Sequence[TagRef]]:
        """Tags by post id, in at most one query."""

    def search(self, posts: Any, tag: TagRef, limit: int) -> list[Any]:
        """Ids among the queryset ``posts`` that carry ``tag``, newest first."""

    def carrying(self, posts: Any, names: Sequence[str]) -> Any:
        """The queryset ``posts``, narrowed to those that carry every tag of ``names``."""

    def add(self, post: Any, tags: Sequence[TagRef]) -> list[TagRef]:
        """Adds what is missing and returns it."""

    def remove(self, post: Any, tags: Sequence[TagRef]) -> list[TagRef]:
        """Removes what is there and returns it."""


def is_relation(field: Any) -> bool:
    """True for many-to-many fields, and for managers that behave like one (django-taggit's)."""
    return bool(getattr(field, "many_to_many", False))


class NoTags:
    """A board without tags."""

    def of(self, posts: Sequence[Any]) -> Mapping[Any, Sequence[TagRef]]:
        return {}

    def search(self, posts: Any, tag: TagRef, limit: int) -> list[Any]:
        return []

    def carrying(self, posts: Any, names: Sequence[str]) -> Any:
        return posts.none()

    def add(self, post: Any, tags: Sequence[TagRef]) -> list[TagRef]:
        return []

    def remove(self, post: Any, tags: Sequence[TagRef]) -> list[TagRef]:
        return []


class RelatedTags:
    """A many-to-many relation. ``TAG_FIELDS["category"]`` is a field of the tag, or ``relation__field`` behind it."""

    def __init__(self, field: Any) -> None:
        self.field = field
        self.model = field.related_model
        self.name = config().TAG_FIELDS["name"]
        self.category = config().TAG_FIELDS.get("category", "")

    def of(self, posts: Sequence[Any]) -> Mapping[Any, Sequence[TagRef]]:
        model, names = self.field.model, (self.name, self.category) if self.category else (self.name,)
        carried = _carried(model._base_manager.db, model, tuple(f"{self.field.name}__{name}" for name in names))
        found: dict[Any, list[TagRef]] = defaultdict(list)
        for post_id, name, *category in carried.rows(**{model._meta.pk.name: [post.pk for post in posts]}):
            if name is not None:
                found[post_id].append(TagRef(str(name), self._category(*category)))
        return found

    def search(self, posts: Any, tag: TagRef, limit: int) -> list[Any]:
        match = {f"{self.field.name}__{self.name}": tag.name}
        return list(posts.filter(**match).order_by("-pk").values_list("pk", flat=True)[:limit])

    def carrying(self, posts: Any, names: Sequence[str]) -> Any:
        for name in names:
            # As a subquery each, so that no join can count a post twice.
            tagged = self.field.model._base_manager.filter(**{f"{self.field.name}__{self.name}": name})
            posts = posts.filter(pk__in=tagged.order_by().values("pk"))
        return posts

    def add(self, post: Any, tags: Sequence[TagRef]) -> list[TagRef]:
        there = self._there(post)
        longest = self.model._meta.get_field(self.name).max_length
        missing = {tag.name: tag for tag in reversed(tags) if tag.name not in there}
        missing = {name: tag for name, tag in missing.items() if longest is None or len(name) <= longest}
        if missing:
            getattr(post, self.field.name).add(*[self._row(tag) for tag in missing.values()])
        return [tag for tag in tags if missing.get(tag.name) == tag]

    def remove(self, post: Any, tags: Sequence[TagRef]) -> list[TagRef]:
        there = self._there(post)
        gone = {tag.name: tag for tag in reversed(tags) if tag.name in there}
        if gone:
            getattr(post, self.field.name).remove(*[there[name] for name in gone])
        return [tag for tag in tags if gone.get(tag.name) == tag]

    def _there(self, post: Any) -> dict[str, Any]:
        return {str(getattr(tag, self.name)): tag for tag in getattr(post, self.field.name).all()}

    def _row(self, tag: TagRef) -> Any:
        tags = self.model._base_manager.using(router.db_for_write(self.model))
        return (
            tags.filter(**{self.name: tag.name}).first()
            or tags.get_or_create(**{self.name: tag.name}, defaults=self._defaults(tag.category))[0]
        )

    def _defaults(self, category: Category) -> dict[str, Any]:
        """The category of a new tag; where the board has none for ours, its own default stays."""
        value = config().TAG_CATEGORIES.get(category)
        if not self.category or value is None:
            return {}
        relation, _, behind = self.category.partition("__")
        field = self.model._meta.get_field(relation)
        if behind:
            value = field.related_model._base_manager.filter(**{behind: value}).values_list("pk", flat=True).first()
        return {field.attname: value} if value is not None else {}

    def _category(self, value: Any = None) -> Category:
        ours = (name for name, theirs in config().TAG_CATEGORIES.items() if theirs == value)
        return Category(next(ours, Category.GENERAL))


class TextTags:
    """Words in a text field, parted by spaces; they have no categories."""

    def __init__(self, field: Any) -> None:
        self.field = field

    def of(self, posts: Sequence[Any]) -> Mapping[Any, Sequence[TagRef]]:
        return {post.pk: [TagRef(name) for name in self._words(post)] for post in posts}

    def search(self, posts: Any, tag: TagRef, limit: int) -> list[Any]:
        near = posts.filter(**{f"{self.field.name}__contains": tag.name}).order_by("-pk")
        found = []
        for pk, text in near.values_list("pk", self.field.attname).iterator(chunk_size=1000):
            if tag.name in (text or "").split():
                found.append(pk)
                if len(found) == limit:
                    break
        return found

    def carrying(self, posts: Any, names: Sequence[str]) -> Any:
        for name in names:
            # The plain search first: an index may serve it, where one exists for such searches.
            posts = posts.filter(**{f"{self.field.name}__contains": name})
            posts = posts.filter(**{f"{self.field.name}__regex": rf"(^|\s){re.escape(name)}($|\s)"})
        return posts

    def add(self, post: Any, tags: Sequence[TagRef]) -> list[TagRef]:
        words = self._words(post)
        missing = {tag.name: tag for tag in reversed(tags) if tag.name not in words}
        new = [tag for tag in tags if missing.get(tag.name) == tag]
        longest = self.field.max_length
        while new and longest is not None and len(" ".join([*words, *(tag.name for tag in new)])) > longest:
            new.pop()
        if new:
            self._write(post, [*words, *(tag.name for tag in new)])
        return new

    def remove(self, post: Any, tags: Sequence[TagRef]) -> list[TagRef]:
        words = self._words(post)
        gone = {tag.name: tag for tag in reversed(tags) if tag.name in words}
        if gone:
            self._write(post, [word for word in words if word not in gone])
        return [tag for tag in tags if gone.get(tag.name) == tag]

    def _words(self, post: Any) -> list[str]:
        return (getattr(post, self.field.attname) or "").split()

    def _write(self, post: Any, words: Sequence[str]) -> None:
        setattr(post, self.field.attname, " ".join(words))
        post.save(update_fields=[self.field.name])


@kept
def _carried(using: str, model: type[Model], columns: tuple[str, ...]) -> QuerySet[Any]:
    posts = model._base_manager.using(using).filter(pk__in=slots(model, model._meta.pk.name))
    return posts.order_by().values_list("pk", *columns)
