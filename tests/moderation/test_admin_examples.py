"""*Use as example*: the picture of a case, or a face in it, enters the gallery."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import Permission
from django.test import Client

from embeddings.models import Subject
from moderation.models import Case
from tests.people import client_of

from .cases import face
from .pages import QUEUE, page_of, text

EVIL = "<script>alert(1)</script>"


@pytest.fixture
def enroller(moderator) -> Client:
    moderator.user_permissions.add(Permission.objects.get(codename="enrol_subject"))
    return client_of(moderator)


def show(client: Client, case: Case, **fields: Any) -> Any:
    """Its picture is shown as an example of a character."""
    wish = {"show": case.post_id, "name": "miku", "category": "character"} | fields
    return client.post(f"{QUEUE}{case.pk}/example/", wish, follow=True)


def test_a_face_becomes_an_example_of_its_character(enroller, case):
    group = case()
    face(group, 0, (0.1, 0.1, 0.2, 0.2))
    face(group, 1, (0.6, 0.1, 0.2, 0.2))
    assert f'value="{group.post_id}:1"' in enroller.get(page_of(group)).content.decode()
    answer = show(enroller, group, show=f"{group.post_id}:1", name="hatsune miku")
    assert "hatsune_miku is known by this picture" in text(answer)
    support = Subject.objects.get(name="hatsune_miku").supports.get()
    assert (support.post_id, support.kind, support.number, support.box["x"]) == (group.post_id, "face", 1, 0.6)


@pytest.mark.parametrize(
    "fields", [{"name": ""}, {"show": ""}, {"show": "1:9"}, {"show": "x"}, {"name": "a,b"}, {"category": "copyright"}]
)
def test_unusable_examples_are_told_and_write_nothing(enroller, case, fields):
    given = case()
    assert 'class="error"' in show(enroller, given, **fields).content.decode()
    assert not Subject.objects.exists()


def test_a_strange_name_is_escaped(enroller, case):
    given = case()
    assert EVIL not in show(enroller, given, name=EVIL).content.decode()


def test_another_posts_picture_is_no_example_from_here(enroller, case):
    given, other = case(), case()
    show(enroller, given, show=other.post_id)
    assert not Subject.objects.exists()


def test_examples_take_the_right_to_enrol(moderator, case):
    client = client_of(moderator)
    given = case()
    assert "Use as example" not in text(client.get(page_of(given)))
    assert show(client, given).status_code == 403
    assert not Subject.objects.exists()
