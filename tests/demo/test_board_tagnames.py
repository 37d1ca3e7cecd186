from __future__ import annotations

import pytest

from booru_ml.errors import InvalidInput
from deploy.demo.board.tagnames import MAX_TAGS, TypedTag, normalise, parse


@pytest.mark.parametrize(
    ("typed", "stored"),
    [
        ("Blue  Eyes", "blue_eyes"),
        ("__x__", "x"),
        (":d", ":d"),
        ("re:zero", "re:zero"),
        ("É", "é"),
        ("<script>", "<script>"),
    ],
)
def test_names_take_one_form(typed: str, stored: str) -> None:
    assert normalise(typed) == stored


@pytest.mark.parametrize("typed", ["", "___", "-hat", "~hat", "a*b", "a,b", "a\0b", "a\u202eb", "rating:x", "x" * 171])
def test_names_that_searches_could_not_find_are_refused(typed: str) -> None:
    with pytest.raises(InvalidInput):
        normalise(typed)


def test_prefixes_choose_the_category_and_metatags_leave_the_list() -> None:
    typed = parse("artist:Ann  blue_hair rating:questionable source:https://x.example/1 char:Rei_(eva) blue_hair")
    assert typed.tags == (TypedTag("ann", 1), TypedTag("blue_hair"), TypedTag("rei_(eva)", 4))
    assert typed.rating == "q"
    assert typed.source == "https://x.example/1"


def test_a_flood_of_tags_is_refused() -> None:
    with pytest.raises(InvalidInput, match="at most"):
        parse(" ".join(f"t{number}" for number in range(MAX_TAGS + 1)))
