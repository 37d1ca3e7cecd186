from __future__ import annotations

from io import StringIO

import pytest
from django.core.management import CommandError, call_command

from embeddings.models import Subject
from tests.embeddings.factories import Artist, post, seen
from tests.people import user

pytestmark = pytest.mark.django_db


def enrol(*words: object) -> str:
    out = StringIO()
    call_command("booru_enrol", *(str(word) for word in words), stdout=out)
    return out.getvalue()


def test_a_character_is_enrolled_and_what_waits_is_told():
    draw, actor = Artist(), user()
    shown, waiting = seen(draw.character(), faces=[draw.character(), draw.character()]), post()
    said = enrol("hatsune miku", "--posts", f"{shown.pk}:1", waiting.pk, "--by", actor.username)
    assert "Character hatsune_miku: known by 2 pictures." in said
    assert "1 of them wait" in said
    subject = Subject.objects.get()
    assert subject.created_by == actor
    assert subject.supports.filter(kind="face", number=1).exists()


def test_an_artist_is_enrolled():
    assert "Artist someone" in enrol("someone", "--posts", post().pk, "--category", "artist")


def test_a_mistaken_picture_is_added_to_a_known_character_only():
    mistaken = post()
    with pytest.raises(CommandError, match="enrol it by pictures"):
        enrol("miku", "--posts", mistaken.pk, "--not")
    enrol("miku", "--posts", post().pk)
    assert "1 pictures are known not to show it" in enrol("miku", "--posts", mistaken.pk, "--not")


@pytest.mark.parametrize(
    ("words", "explained"),
    [
        (["miku", "--posts", "404404"], "No such post: 404404"),
        (["miku", "--posts", "x"], "no post id"),
        (["miku", "--posts", "1:x"], "face's number"),
        (["a,b", "--posts", "1"], "A name is a tag"),
        (["miku", "--posts", "1", "--by", "nobody"], "no user"),
    ],
)
def test_mistakes_are_explained(words, explained):
    with pytest.raises(CommandError, match=explained):
        enrol(*words)
    assert not Subject.objects.exists()
