"""The demo's accounts: an uploader and a moderator, with the rights that such people have on a board."""

from __future__ import annotations

import json
import secrets
from dataclasses import dataclass
from pathlib import Path

from django.contrib.auth.models import Group, Permission, User
from django.db import transaction
from rest_framework.authtoken.models import Token

UPLOADERS = ("board.add_post", "board.change_post")
MODERATORS = (
    *UPLOADERS,
    "board.view_post",
    "board.view_tag",
    "board.change_tag",
    "board.view_deleted_post",
    "booru_ml.view_analysisjob",
    "booru_ml.change_analysisjob",
    "booru_ml.view_modelversion",
    "booru_ml.view_worker",
    "booru_embeddings.enrol_subject",
    "booru_embeddings.view_subject",
    "booru_tagging.decide_suggestion",
    "booru_tagging.view_suggestion",
    "booru_tagging.view_tagdecision",
    "booru_moderation.decide_case",
    "booru_moderation.view_case",
)


@dataclass(frozen=True, slots=True)
class LogIn:
    name: str
    password: str
    token: str


@transaction.atomic
def log_ins(keep: Path) -> tuple[LogIn, LogIn]:
    """The uploader's and the moderator's; passwords are made once and kept in ``keep``, which only its owner reads."""
    known: dict[str, str] = json.loads(keep.read_text()) if keep.exists() else {}
    pair = (
        _person("uploader", "Uploaders", UPLOADERS, known),
        _person("moderator", "Moderators", MODERATORS, known, staff=True),
    )
    keep.touch(mode=0o600)
    keep.write_text(json.dumps(known, indent=2))
    return pair


def _person(
    name: str, group_name: str, permissions: tuple[str, ...], known: dict[str, str], *, staff: bool = False
) -> LogIn:
    group, _ = Group.objects.get_or_create(name=group_name)
    group.permissions.set([_permission(permission) for permission in permissions])
    user, _ = User.objects.get_or_create(username=name)
    password = known.setdefault(name, secrets.token_urlsafe(9))
    if not user.check_password(password):
        user.set_password(password)
    user.is_active, user.is_staff = True, staff
    user.save()
    user.groups.add(group)
    return LogIn(name, password, Token.objects.get_or_create(user=user)[0].key)


def _permission(name: str) -> Permission:
    app, codename = name.split(".")
    return Permission.objects.get(content_type__app_label=app, codename=codename)
