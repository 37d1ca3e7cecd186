from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from booru_ml.types import Analysis, Rating, Refusal
from moderation import rules
from moderation.models import Flag

from .findings import MODEL, analysis, facts


@dataclass(frozen=True)
class Near:
    post_id: int
    similarity: float


def reasons(*args, **kwargs) -> set[str]:
    return {draft.reason for draft in rules.flags(*args, **kwargs)}


def test_the_rules_and_the_table_know_the_same_reasons() -> None:
    assert set(rules.REASONS) == set(Flag.Reason.values)


def test_harmless_art_raises_nothing_though_the_network_sees_a_third_of_it_as_explicit() -> None:
    assert reasons(analysis(1), facts()) == set()


def test_a_picture_rated_milder_than_it_looks_is_flagged_with_both_ratings() -> None:
    said = {"rating": {"g": 0.1, "s": 0.15, "q": 0.5, "e": 0.25}}
    (flag,) = rules.flags(analysis(1, said), facts(rating=Rating.GENERAL))
    assert flag.reason == "rating_too_low"
    assert flag.score == pytest.approx(0.9)
    assert flag.detail == {"rated": "g", "predicted": "q"}
    assert flag.model == MODEL


def test_the_same_picture_rated_as_severe_as_it_looks_is_left_alone() -> None:
    said = {"rating": {"g": 0.1, "s": 0.15, "q": 0.5, "e": 0.25}}
    assert reasons(analysis(1, said), facts(rating=Rating.QUESTIONABLE)) == set()


def test_the_margin_keeps_a_near_tie_quiet() -> None:
    said = {"rating": {"g": 0.45, "s": 0.55, "q": 0.0, "e": 0.0}}
    assert reasons(analysis(1, said), facts(rating=Rating.GENERAL)) == set()


@given(st.lists(st.floats(0.001, 1), min_size=4, max_size=4))
def test_a_milder_rating_by_the_uploader_is_never_less_suspicious(values: list[float]) -> None:
    said = {"rating": dict(zip("gsqe", values, strict=True)), "nsfw": {}}
    off = dict.fromkeys(rules.REASONS, 2.0) | {"rating_too_low": 0.0}
    found = [rules.flags(analysis(1, said), facts(rating=rating), thresholds=off) for rating in Rating]
    suspicion = [flags[0].score if flags else 0.0 for flags in found]
    assert suspicion == sorted(suspicion, reverse=True)
    assert suspicion[-1] == 0


def test_the_predicted_rating_is_always_more_severe_than_the_uploaders() -> None:
    said = {"rating": {"g": 0.38, "s": 0.22, "q": 0.2, "e": 0.2}}
    (flag,) = rules.flags(analysis(1, said), facts(rating=Rating.GENERAL))
    assert flag.detail["predicted"] == "s"


def test_a_post_without_a_rating_cannot_be_rated_too_low() -> None:
    said = {"rating": {"g": 0.0, "s": 0.0, "q": 0.0, "e": 1.0}}
    assert "rating_too_low" not in reasons(analysis(1, said), facts(rating=None))


def test_explicit_pictures_are_flagged_unless_their_uploader_said_so() -> None:
    said = {"nsfw": {"drawing": 0.1, "hentai": 0.6, "neutral": 0.0, "porn": 0.25, "sexy": 0.05}}
    (flag,) = rules.flags(analysis(1, said), facts())
    assert flag.reason == "explicit"
    assert flag.score == pytest.approx(0.85)
    assert reasons(analysis(1, said), facts(rating=Rating.EXPLICIT)) == set()


def test_without_the_raw_classes_the_rating_head_says_what_is_explicit() -> None:
    said = {"nsfw": {}, "rating": {"g": 0.1, "s": 0.1, "q": 0.1, "e": 0.7}}
    assert "explicit" in reasons(analysis(1, said), facts())


def test_a_photo_is_flagged_as_not_drawn() -> None:
    said = {"medium": {"drawing": 0.03, "photo": 0.97}}
    assert reasons(analysis(1, said), facts()) == {"not_drawn"}


@pytest.mark.parametrize("labels", [("finished", "sketch", "rough", "poor"), ("good", "bad")])
def test_the_worst_grade_is_the_one_that_is_flagged(labels: tuple[str, ...]) -> None:
    worst = {"quality": {label: 0.1 / len(labels) for label in labels[:-1]} | {labels[-1]: 0.9}}
    best = {"quality": {labels[0]: 0.9} | {label: 0.1 / len(labels) for label in labels[1:]}}
    assert reasons(analysis(1, worst), facts()) == {"low_quality"}
    assert reasons(analysis(1, best), facts()) == set()


def test_a_near_duplicate_names_the_closest_posts_first_and_never_itself() -> None:
    near = [Near(1, 1.0), Near(4, 0.96), Near(3, 0.99), Near(3, 0.97), Near(9, 0.5)]
    (flag,) = rules.flags(analysis(1), facts(1), near)
    assert flag.reason == "duplicate"
    assert flag.score == pytest.approx(0.99)
    assert flag.detail == {"posts": [{"post": "3", "similarity": 0.99}, {"post": "4", "similarity": 0.96}]}


def test_a_duplicates_list_of_witnesses_is_short() -> None:
    (flag,) = rules.flags(analysis(1), facts(1), [Near(n, 0.99) for n in range(2, 50)])
    assert len(flag.detail["posts"]) == rules.MOST_NEIGHBOURS


def test_a_picture_that_cannot_be_analysed_says_why() -> None:
    refused = analysis(1, refusal=Refusal("truncated", "The file ends too early; upload it again."))
    (flag,) = rules.flags(refused, facts())
    assert (flag.reason, flag.score) == ("unreadable", 1.0)
    assert flag.detail == {"code": "truncated", "message": "The file ends too early; upload it again."}


def test_thresholds_are_the_hosts_to_change_and_above_one_means_off() -> None:
    said = {"medium": {"drawing": 0.45, "photo": 0.55}}
    assert reasons(analysis(1, said), facts(), thresholds={"not_drawn": 0.5}) == {"not_drawn"}
    assert reasons(analysis(1, {"medium": {"drawing": 0, "photo": 1}}), facts(), thresholds={"not_drawn": 1.1}) == set()


def test_a_checkpoint_without_a_head_raises_nothing_of_its_kind() -> None:
    silent = {key: {} for key in ("rating", "medium", "nsfw", "quality")}
    assert reasons(analysis(1, silent), facts()) == set()


def test_numbers_in_the_evidence_are_ready_for_json() -> None:
    import json

    said = {"nsfw": {"hentai": 0.9}, "medium": {"photo": 1.0}, "rating": {"g": 0.0, "e": 1.0}, "quality": {"poor": 1.0}}
    drafts = rules.flags(analysis(1, said), facts(), [Near(2, np.float32(0.99))])
    assert len(drafts) == 5
    assert all(type(draft.score) is float and json.dumps(dict(draft.detail)) for draft in drafts)


def test_an_analysis_that_says_nothing_at_all_is_an_error() -> None:
    with pytest.raises(ValueError, match="neither"):
        rules.flags(Analysis(job_id=1, post_id=1, pipeline_version="", sha256=""), facts())


@given(st.sampled_from([*rules.REASONS, "something_new"]), st.floats(0, 1), st.sampled_from([{}, {"rated": "?"}]))
def test_every_flag_can_be_put_into_a_sentence_whatever_was_stored(reason: str, score: float, detail) -> None:
    said = rules.sentence(reason, score, detail)
    assert said[0].isupper()
    assert said.endswith((".", "!"))


def test_sentences_say_what_a_moderator_wants_to_know() -> None:
    assert rules.sentence("rating_too_low", 0.87, {"rated": "g", "predicted": "e"}) == (
        "Rated general but looks explicit: 87% likely to need a more severe rating."
    )
    near = {"posts": [{"post": "3", "similarity": 0.99}, {"post": "4", "similarity": 0.96}]}
    assert rules.sentence("duplicate", 0.99, near) == "Nearly the same picture as post 3 and 1 more (99% alike)."
