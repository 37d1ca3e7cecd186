"""The one adapter of this process."""

from __future__ import annotations

from functools import cache
from typing import cast

from django.core.signals import setting_changed
from django.utils.module_loading import import_string

from booru_ml.conf import config
from booru_ml.host.base import HostBoard


@cache
def host() -> HostBoard:
    """The adapter that ``BOORU_ML["ADAPTER"]`` names."""
    return cast(HostBoard, import_string(config().ADAPTER)())


def _forget(*, setting: str, **_: object) -> None:
    if setting == "BOORU_ML":
        host.cache_clear()


setting_changed.connect(_forget, dispatch_uid="booru_ml.host")
