from dataclasses import replace

import numpy as np
import pytest

from booru_ml.types import Box, Category, PostFacts, Rating, TagRef
from tagging.rules import Thresholds, confirms, may_apply, proposals
from tests.tagging.factories import finding, match, scores


def named(found):
    return {(str(item.category), item.name): round(item.score, 2) for item in found}


def facts(*tags, rating=Rating.GENERAL):
    return PostFacts(1, frozenset(tags), rating, "", 1, "active", "", "", "")


def test_labels_over_their_thresholds_become_suggestions():
    found = proposals(finding(tags={"long_hair": 0.9, "hat": 0.34, "smile": 0.36}), (), Thresholds())
    assert named(found) == {("general", "long_hair"): 0.9, ("general", "smile"): 0.36}


@pytest.mark.parametrize(("head", "category"), [("characters", Category.CHARACTER), ("artist", Category.ARTIST)])
def test_closed_sets_suggest_who_is_sure_enough(head, category):
    said = scores(head, {"miku": 0.95, "rin": 0.05}, category, "net@000000000001")
    found = proposals(replace(finding(), scores={head: said}), (), Thresholds())
    assert named(found) == {(str(category), "miku"): 0.95}


def test_each_category_has_its_own_default():
    said = {"smile": 0.4, "saber": 0.7, "miku": 0.8}
    kinds = {"saber": Category.CHARACTER, "miku": Category.CHARACTER}
    assert set(named(proposals(finding(tags=said, categories=kinds), (), Thresholds()))) == {
        ("general", "smile"),
        ("character", "miku"),
    }


def test_settings_win_over_the_checkpoint_and_the_checkpoint_over_defaults():
    checkpoint = {"net@000000000001": {"tags": {"hat": 0.2, "smile": 0.99, "sky": 0.99}}}
    said = {"hat": 0.25, "smile": 0.6, "sky": 0.6}
    thresholds = Thresholds({"general:smile": 0.5}, checkpoint)
    assert set(named(proposals(finding(tags=said), (), thresholds))) == {("general", "hat"), ("general", "smile")}


def test_a_category_may_be_closed_by_a_threshold_above_one():
    assert not proposals(finding(tags={"hat": 1.0}), (), Thresholds({"general": 1.1}))


def test_odd_labels_and_ratings_among_a_taggers_labels_are_left_out():
    said = {"rating:e": 0.99, "ok": 0.99, "b\x00d": 0.99, "explicit": 0.99}
    found = proposals(finding(tags=said, categories={"explicit": Category.RATING}), (), Thresholds())
    assert set(named(found)) == {("general", "ok")}


def test_scores_that_are_no_numbers_suggest_nothing():
    assert not proposals(finding(tags={"a": float("nan")}, rating={"g": float("nan")}), (), Thresholds())


def test_the_likeliest_rating_is_suggested_with_all_shares():
    (item,) = proposals(finding(rating={"g": 0.1, "s": 0.2, "q": 0.6, "e": 0.1}), (), Thresholds())
    assert (item.category, item.name) == (Category.RATING, "q")
    assert item.score == pytest.approx(0.6)
    assert item.evidence["shares"] == pytest.approx({"g": 0.1, "s": 0.2, "q": 0.6, "e": 0.1})


def test_independent_rating_scores_are_scaled_to_shares():
    (item,) = proposals(finding(rating={"g": 0.9, "s": 0.3, "q": 0.0, "e": 0.0}), (), Thresholds())
    assert item.score == pytest.approx(0.75)


def test_an_undecided_rating_is_not_suggested():
    assert not proposals(finding(rating={"g": 0.26, "s": 0.25, "q": 0.25, "e": 0.24}), (), Thresholds())


def test_the_likeliest_grade_is_suggested():
    said = {"finished": 0.1, "sketch": 0.2, "rough": 0.6, "poor": 0.1}
    assert named(proposals(finding(quality=said), (), Thresholds())) == {("quality", "rough"): 0.6}


def test_a_photo_is_a_meta_tag_and_a_drawing_is_not_worth_one():
    assert named(proposals(finding(medium={"drawing": 0.1, "photo": 0.9}), (), Thresholds())) == {
        ("meta", "photo_(medium)"): 0.9
    }
    assert not proposals(finding(medium={"drawing": 0.9, "photo": 0.1}), (), Thresholds())


def test_the_photo_tag_follows_settings_by_its_name_and_checkpoints_by_their_label():
    said = finding(medium={"drawing": 0.3, "photo": 0.7})
    strict = {"net@000000000001": {"medium": {"photo": 0.8}}}
    assert not proposals(said, (), Thresholds({}, strict))
    assert proposals(said, (), Thresholds({"meta:photo_(medium)": 0.6}, strict))


def test_known_matches_are_suggested_with_their_evidence():
    box = Box(0.1, 0.2, 0.3, 0.4)
    (item,) = proposals(finding(), [match("miku", 0.93, face=0, box=box)], Thresholds())
    assert (item.source, item.category, item.name) == ("prototype", Category.CHARACTER, "miku")
    assert item.gallery_revision == 7
    assert item.model_version == "lite0@000000000001"
    assert item.evidence["box"] == [0.1, 0.2, 0.3, 0.4]
    assert item.evidence["nearest"] == ["3", "4"]


def test_unknown_faces_are_not_named():
    assert not proposals(finding(), [match("miku", 0.49, known=False)], Thresholds())


def test_few_names_compete_for_one_face_but_every_face_has_its_own():
    rivals = [match(f"a{i}", 0.9 - i / 100, face=0) for i in range(5)] + [match("b", 0.5, face=1)]
    assert {name for _, name in named(proposals(finding(), rivals, Thresholds(), per_subject=2))} == {"a0", "a1", "b"}


def test_the_better_of_two_sources_speaks_for_a_name():
    said = finding(tags={"miku": 0.8}, categories={"miku": Category.CHARACTER})
    (item,) = proposals(said, [match("miku", 0.95)], Thresholds())
    assert (item.source, item.score) == ("prototype", 0.95)
    (item,) = proposals(said, [match("miku", 0.6)], Thresholds())
    assert item.source == "model"


def test_without_a_finding_only_the_gallery_speaks():
    (item,) = proposals(None, [match("miku")], Thresholds(), model_version="lite0@2")
    assert item.model_version == "lite0@2"


def test_a_large_head_is_cut_to_its_best_labels():
    said = {f"tag{i}": 0.5 + i / 1000 for i in range(300)}
    found = proposals(finding(tags=said), (), Thresholds())
    assert len(found) == 100
    assert found[0].name == "tag299"


def test_thresholds_of_a_head_are_worked_out_once():
    thresholds = Thresholds()
    head = scores("tags", {"a": 0.5}, Category.GENERAL, "net@1")
    assert thresholds.vector(head) is thresholds.vector(head)
    assert np.allclose(thresholds.vector(head), 0.35)


def test_a_suggestion_confirms_what_the_post_is_already():
    assert confirms("hat", "general", facts(TagRef("hat", Category.META)))
    assert confirms("g", "rating", facts())
    assert not confirms("q", "rating", facts())
    assert not confirms("hat", "general", None)
    assert confirms("finished", "quality", facts())
    assert not confirms("poor", "quality", facts())


@pytest.mark.parametrize(
    ("name", "category", "score", "expected"),
    [
        ("hat", "general", 0.95, True),
        ("hat", "general", 0.94, False),
        ("miku", "character", 1.0, False),
        ("here", "general", 1.0, False),
        ("e", "rating", 1.0, False),
        ("poor", "quality", 1.0, False),
    ],
)
def test_only_tags_of_opened_categories_are_applied(name, category, score, expected):
    bars = {"general": 0.95, "rating": 0.9, "quality": 0.5}
    post = facts(TagRef("here"), rating=Rating.SENSITIVE)
    assert may_apply(name, category, score, bars, post) is expected
