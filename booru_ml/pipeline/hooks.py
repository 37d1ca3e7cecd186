"""Hears the board's own signals and turns them into job rows; deaf to the echo of our own writes.

Nothing that goes wrong here may reach the uploader: errors are logged and counted, the upload goes on.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from contextvars import ContextVar
from functools import cache
from typing import Any

from django.apps import apps
from django.core.exceptions import FieldDoesNotExist
from django.db import transaction
from django.db.models import Model
from django.db.models.signals import m2m_changed, post_delete, post_save

from booru_ml.conf import config, post_model
from booru_ml.host.tag_store import is_relation
from booru_ml.metrics import HOOK_ERRORS

logger = logging.getLogger(__name__)

_writing: ContextVar[bool] = ContextVar("booru_ml_writing_back", default=False)


@contextmanager
def writing_back() -> Iterator[None]:
    """Marks writes to the board as ours; the hook stays silent inside."""
    token = _writing.set(True)
    try:
        yield
    finally:
        _writing.reset(token)


def connect() -> None:
    """Connects the signals of the host's post model (called once, when Django is ready)."""
    post_save.connect(post_saved, dispatch_uid="booru_ml.hooks.saved")
    m2m_changed.connect(tags_changed, dispatch_uid="booru_ml.hooks.tags")
    post_delete.connect(post_deleted, dispatch_uid="booru_ml.hooks.deleted")


def disconnect() -> None:
    """Stops listening, for measurements and for imports that bring their own jobs."""
    post_save.disconnect(dispatch_uid="booru_ml.hooks.saved")
    m2m_changed.disconnect(dispatch_uid="booru_ml.hooks.tags")
    post_delete.disconnect(dispatch_uid="booru_ml.hooks.deleted")


@cache
def _post_class() -> type[Model] | None:
    """The host's post model; None where the setting is wrong, which ``booru_ml.E002`` and following explain."""
    try:
        return apps.get_model(post_model())
    except (LookupError, ValueError):
        return None


@cache
def _tags_through() -> type[Model] | None:
    """The through table of the post's tags; None where tags are text or absent."""
    try:
        model, name = _post_class(), config().FIELDS.get("tags", "")
        field: Any = model._meta.get_field(name) if model and name else None
    except (FieldDoesNotExist, TypeError, AttributeError):
        return None
    return field.remote_field.through if is_relation(field) else None


def _harmless(act: Callable[[], None], using: str | None) -> None:
    """Errors stay here; inside the upload's transaction they also undo no more than what the hook itself did."""
    try:
        inside = transaction.get_connection(using).in_atomic_block
        with transaction.atomic(using=using) if inside else nullcontext():
            act()
    except Exception:
        HOOK_ERRORS.inc()
        logger.exception("the upload goes on, but its analysis may have to be asked for by hand")


def post_saved(
    sender: type[Model], instance: Any, created: bool = False, raw: bool = False, using: str | None = None, **_: Any
) -> None:
    model = _post_class()
    if raw or model is None or not issubclass(sender, model) or _writing.get():
        return
    from booru_ml.pipeline import outbox

    def note() -> None:
        outbox.saved(instance, created=created, tags_in_row=_tags_through() is None, using=using or outbox.database())

    _harmless(note, using)


def post_deleted(sender: type[Model], instance: Any, using: str | None = None, **_: Any) -> None:
    """What a worker stored of the post while it was deleted goes with it, or the board's commit would fail of it."""
    model = _post_class()
    if model is None or not issubclass(sender, model):
        return
    from booru_ml.pipeline import outbox

    _harmless(lambda: outbox.forget(instance, using=using or outbox.database()), using)


def tags_changed(
    sender: type[Model],
    instance: Any,
    action: str = "",
    reverse: bool = False,
    pk_set: set[Any] | None = None,
    using: str | None = None,
    **_: Any,
) -> None:
    if not action.startswith("post_") or _writing.get() or sender is not _tags_through():
        return
    from booru_ml.pipeline import outbox

    post_ids = (pk_set or set()) if reverse else {instance.pk}
    wiped = action in ("post_remove", "post_clear")
    if post_ids:
        _harmless(lambda: outbox.touch(post_ids, wiped=wiped, using=using), using)
