"""What the contract suite needs of a board that it runs on; ``HOST_KIT`` in the settings names the instance."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.utils.module_loading import import_string


@dataclass(frozen=True)
class Kit:
    upload: Callable[[bytes, str], Any]
    """Saves a post with these bytes and this text of tags, as the board itself does it."""
    has_categories: bool = True
    has_rating: bool = True
    has_status: bool = True
    has_time: bool = True


def kit() -> Kit:
    found: Kit = import_string(getattr(settings, "HOST_KIT", "tests.hosts.reference.KIT"))
    return found
