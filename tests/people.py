"""People with rights, and browsers in which they are logged in."""

from __future__ import annotations

from itertools import count
from typing import Any

from django.contrib.auth import get_user_model
from django.contrib.auth.models import Permission
from django.test import Client

_numbers = count(1)


def user(*permissions: str, name: str = "", **others: Any) -> Any:
    """With permissions by their full names: ``app.codename``."""
    person = get_user_model().objects.create_user(name or f"user{next(_numbers)}", password="secret", **others)
    for permission in permissions:
        app, codename = permission.split(".")
        person.user_permissions.add(Permission.objects.get(content_type__app_label=app, codename=codename))
    return person


def staff_client(*permissions: str) -> Client:
    return client_of(user(*permissions, is_staff=True))


def client_of(person: Any = None, **options: Any) -> Client:
    client = Client(**options)
    if person is not None:
        client.force_login(person)
    return client
