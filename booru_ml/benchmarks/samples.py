"""Posts for measuring on any board: made from the model's own fields, removed again."""

from __future__ import annotations

import io
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.apps import apps
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.core.management.base import CommandError
from django.db import models

from booru_ml.conf import config, post_model


def picture(side: int = 256) -> bytes:
    """A small JPEG of random blocks, different each time."""
    from PIL import Image

    blocks = Image.frombytes("RGB", (16, 16), secrets.token_bytes(16 * 16 * 3))
    buffer = io.BytesIO()
    blocks.resize((side, side)).save(buffer, "JPEG")
    return buffer.getvalue()


class Posts:
    """Builds unsaved posts; whatever else they need (an uploader, say) is borrowed or made once, and removed."""

    def __init__(self) -> None:
        self.model = apps.get_model(post_model())
        self.field: Any = self.model._meta.get_field(config().FIELDS["picture"])
        self._made: list[models.Model] = []
        self._related: dict[type[models.Model], models.Model] = {}

    def build(self, data: bytes) -> Any:
        post = self.model(**self._required(self.model))
        content = ContentFile(data, name=f"bench-{secrets.token_hex(8)}.jpg")
        if isinstance(self.field, models.FileField):
            setattr(post, self.field.name, content)
        else:
            setattr(post, self.field.name, default_storage.save(str(content.name), content))
        return post

    def point(self, name: str) -> Any:
        """An unsaved post of a picture that is in the board's storage already."""
        post = self.model(**self._required(self.model))
        setattr(post, self.field.name, name)
        return post

    def remove(self, post: Any) -> None:
        picture = getattr(post, self.field.name)
        storage, name = (default_storage, picture) if isinstance(picture, str) else (picture.storage, picture.name)
        post.delete()
        if name:
            storage.delete(name)

    def close(self) -> None:
        for row in reversed(self._made):
            row.delete()

    def _required(self, model: type[models.Model]) -> dict[str, Any]:
        return {
            field.name: self._value(field)
            for field in model._meta.concrete_fields
            if field is not self.field
            and not (field.null or field.has_default() or field.auto_created or _given(field))
        }

    def _of(self, model: type[models.Model]) -> models.Model:
        """A row of this model: the first that there is, else a new one."""
        if model not in self._related:
            row = model._base_manager.first()
            if row is None:
                row = model(**self._required(model))
                row.save()
                self._made.append(row)
            self._related[model] = row
        return self._related[model]

    def _value(self, field: Any) -> Any:
        if field.is_relation:
            return self._of(field.related_model)
        if isinstance(field, models.IntegerField | models.FloatField | models.DecimalField):
            return 0
        if isinstance(field, models.CharField | models.TextField):
            return "" if field.blank and not field.unique else secrets.token_hex(32)[: field.max_length or 64]
        raise CommandError(f"{field} needs a value that this measurement cannot make up; give it a default.")


def _given(field: Any) -> bool:
    """Set by Django or by the database."""
    return (
        isinstance(field, models.AutoField)
        or getattr(field, "auto_now", False)
        or getattr(field, "auto_now_add", False)
        or field.has_db_default()
        or (field.primary_key and field.has_default())
    )


@contextmanager
def posts() -> Iterator[Posts]:
    made = Posts()
    try:
        yield made
    finally:
        made.close()
