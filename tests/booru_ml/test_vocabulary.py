import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from booru_ml.errors import InvalidInput
from booru_ml.types import Category, TagRef
from booru_ml.vocabulary import METATAGS, normalise, tag_or_none


@pytest.mark.parametrize(
    ("typed", "stored"),
    [
        ("Blue  Eyes", "blue_eyes"),
        (" 1girl ", "1girl"),
        ("__long___hair__", "long_hair"),
        ("Hatsune Miku (Vocaloid)", "hatsune_miku_(vocaloid)"),
        ("CAFE\u0301", "caf\u00e9"),
        ("初音ミク", "初音ミク"),
    ],
)
def test_names_are_written_as_danbooru_writes_them(typed, stored):
    assert normalise(typed, Category.CHARACTER) == TagRef(stored, Category.CHARACTER)


@pytest.mark.parametrize("name", [":d", ":3", ">_<", "^_^", "=_=", "o_o", "re:zero", "nier:automata", "<o>_<o>", "7:"])
def test_odd_but_real_tags_are_kept(name):
    assert normalise(name).name == name


@pytest.mark.parametrize(
    "name",
    [
        "",
        "   ",
        "___",
        "a" * 171,
        "rating:e",
        "RATING:explicit",
        "artist:someone",
        "user:me",
        "-solo",
        "~solo",
        "a*",
        "a,b",
    ],
)
def test_search_terms_and_shapeless_names_are_refused(name):
    with pytest.raises(InvalidInput) as refused:
        normalise(name)
    assert refused.value.code == "tag_name"


@pytest.mark.parametrize("letter", ["\x00", "\x1b", "\u200b", "\u202e", "\ud800", "\ue000"])
def test_invisible_characters_are_refused_and_not_repeated_in_the_message(letter):
    with pytest.raises(InvalidInput) as refused:
        normalise(f"ha{letter}ir")
    assert letter not in refused.value.message


def test_markup_in_a_name_stays_text():
    assert normalise("<script>alert(1)</script>").name == "<script>alert(1)</script>"


def test_a_rating_is_one_of_four():
    assert normalise("Q", Category.RATING).name == "q"
    assert tag_or_none("questionable", Category.RATING) is None


@given(st.text(max_size=200))
def test_normalising_is_stable_and_bounded(text):
    tag = tag_or_none(text, Category.GENERAL)
    if tag is not None:
        assert normalise(tag.name) == tag
        assert 1 <= len(tag.name) <= 170
        assert not any(letter.isspace() or unicodedata.category(letter)[0] == "C" for letter in tag.name)
        assert tag.name.partition(":")[0] not in METATAGS or tag.name.endswith(":") or ":" not in tag.name
