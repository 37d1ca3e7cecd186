"""The host's post model and adapter: do they have what the setting says they have?"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.apps import apps
from django.core.checks import CheckMessage, Error
from django.core.exceptions import FieldDoesNotExist
from django.db import models
from django.utils.module_loading import import_string

from booru_ml.conf import config
from booru_ml.host.base import HostBoard
from booru_ml.host.model_board import ModelBoard
from booru_ml.host.tag_store import is_relation

TEXT = (models.CharField, models.TextField)
ROLES: dict[str, tuple[type[models.Field[Any, Any]], ...]] = {
    "picture": (models.FileField, *TEXT),
    "thumbnail": (models.FileField, *TEXT),
    "tags": (models.ManyToManyField, *TEXT),
    "rating": (*TEXT, models.IntegerField, models.ForeignKey),
    "source": TEXT,
    "uploader": (models.ForeignKey,),
    "status": (*TEXT, models.IntegerField, models.BooleanField, models.ForeignKey),
    "content_key": (*TEXT, models.UUIDField),
    "created": (models.DateField,),
}
METHODS = tuple(name for name in vars(HostBoard) if not name.startswith("_"))


def check() -> Iterator[CheckMessage]:
    """E020 to E027."""
    name = config().POST_MODEL
    if not name:
        hint = 'Set BOORU_ML["POST_MODEL"] = "app_label.Model", as AUTH_USER_MODEL is set.'
        yield Error("BOORU_ML does not name the board's post model.", hint=hint, id="booru_ml.E020")
        return
    try:
        model = apps.get_model(name)
    except (LookupError, ValueError) as error:
        hint = "Write app_label.Model, and put its app into INSTALLED_APPS."
        yield Error(f"BOORU_ML['POST_MODEL'] = {name!r} cannot be found: {error}", hint=hint, id="booru_ml.E021")
        return
    adapter = _adapter()
    if isinstance(adapter, CheckMessage):
        yield adapter
        return
    if missing := [method for method in METHODS if not callable(getattr(adapter, method, None))]:
        yield Error(
            f"The adapter {config().ADAPTER} lacks {', '.join(missing)}.",
            hint="Subclass booru_ml.host.model_board.ModelBoard, or write all of booru_ml.host.base.HostBoard.",
            id="booru_ml.E026",
        )
    if isinstance(adapter, type) and issubclass(adapter, ModelBoard):
        yield from _fields(model)


def _adapter() -> Any:
    """The adapter class, or E025."""
    try:
        return import_string(config().ADAPTER)
    except Exception as error:
        hint = "Write the dotted path of a class that can be imported, such as board.adapter.BoardAdapter."
        return Error(f"BOORU_ML['ADAPTER'] cannot be imported: {error}", hint=hint, id="booru_ml.E025")


def _fields(model: type[models.Model]) -> Iterator[CheckMessage]:
    """E022 to E024: the map from our roles to the model's fields."""
    known = config().FIELDS
    if "picture" not in known:
        hint = 'Say which field holds the picture: BOORU_ML["FIELDS"] = {"picture": "file", …}.'
        yield Error("BOORU_ML['FIELDS'] names no picture.", hint=hint, id="booru_ml.E022")
    for role, name in known.items():
        if role not in ROLES:
            yield Error(f"BOORU_ML['FIELDS'] has {role!r}.", hint=f"Roles are {', '.join(ROLES)}.", id="booru_ml.E022")
            continue
        try:
            field: Any = model._meta.get_field(name)
        except FieldDoesNotExist:
            there = ", ".join(sorted(field.name for field in model._meta.get_fields() if not field.auto_created))
            message = f"{model._meta.label} has no field {name!r}, which BOORU_ML['FIELDS'] names for {role}."
            yield Error(message, hint=f"Its fields are {there}.", id="booru_ml.E023")
            continue
        if not isinstance(field, ROLES[role]) and not (role == "tags" and is_relation(field)):
            kinds = ", ".join(kind.__name__ for kind in ROLES[role])
            message = f"{model._meta.label}.{name} is a {type(field).__name__}, which cannot be the {role}."
            yield Error(message, hint=f"Name a field of one of these kinds: {kinds}.", id="booru_ml.E024")
        elif role == "tags" and is_relation(field):
            yield from _tag_fields(field)


def _tag_fields(tags: Any) -> Iterator[CheckMessage]:
    """E027: the tag model's fields."""
    known = config().TAG_FIELDS
    if "name" not in known or not set(known) <= {"name", "category"}:
        hint = 'Write {"name": "name", "category": "category"}, or leave category out if tags have none.'
        yield Error(f"BOORU_ML['TAG_FIELDS'] is {dict(known)!r}.", hint=hint, id="booru_ml.E027")
        return
    for role, path in known.items():
        model = tags.related_model
        for part in path.split("__"):
            try:
                field = model._meta.get_field(part)
            except (FieldDoesNotExist, AttributeError):
                label = getattr(getattr(model, "_meta", None), "label", "that")
                message = f"The tags' {role} {path!r} leads nowhere: {label} has no field {part!r}."
                yield Error(message, hint="Correct BOORU_ML['TAG_FIELDS'].", id="booru_ml.E027")
                break
            model = getattr(field, "related_model", None)
