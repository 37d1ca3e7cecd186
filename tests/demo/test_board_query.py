from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from booru_ml.errors import InvalidInput
from deploy.demo.board.query import MAX_TERMS, Range, parse


def test_terms_fall_into_their_places() -> None:
    query = parse("Blue_Hair -hat ~cat ~dog rating:g,s -rating:e status:any user:Ann order:tagcount id:>5 limit:7")
    assert query.required == ["blue_hair"]
    assert query.excluded == ["hat"]
    assert query.optional == ["cat", "dog"]
    assert query.ratings == [frozenset("gs")]
    assert query.not_ratings == [frozenset("e")]
    assert query.users == ["Ann"]
    assert query.numbers == [("id", Range(low=6))]
    assert (query.order, query.limit) == ("tagcount", 7)


@pytest.mark.parametrize(
    ("text", "span"),
    [
        ("5", Range(values=(5,))),
        ("1,2,3", Range(values=(1, 2, 3))),
        ("5..9", Range(5, 9)),
        ("..9", Range(None, 9)),
        ("5..", Range(5, None)),
        (">=5", Range(low=5)),
        ("<5", Range(high=4)),
        ("<=2kb", Range(high=2048)),
    ],
)
def test_ranges(text: str, span: Range) -> None:
    assert parse(f"filesize:{text}").numbers == [("file_size", span)]


@pytest.mark.parametrize(
    "text",
    [
        "rating:x",
        "status:no",
        "order:up",
        "id:abc",
        "id:1..z",
        "id:99999999999999999999",
        "id:999999999999999mb",
        "limit:999999999999999mb",
        "-id:5",
    ],
)
def test_terms_that_cannot_be_meant_are_refused(text: str) -> None:
    with pytest.raises(InvalidInput):
        parse(text)


def test_unknown_prefixes_are_tags() -> None:
    assert parse("re:zero :d").required == ["re:zero", ":d"]


def test_a_flood_of_terms_is_refused() -> None:
    with pytest.raises(InvalidInput):
        parse("a " * (MAX_TERMS + 1))


@given(st.text(max_size=200))
def test_no_text_raises_anything_else(text: str) -> None:
    with contextlib.suppress(InvalidInput):
        parse(text)
