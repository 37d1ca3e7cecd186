from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from embeddings import chances, norms, prototypes
from embeddings.chances import Calibration
from embeddings.methods import SupportSet

CONSTANTS = Calibration()
cosines = st.floats(-1, 1, width=32)


scored = arrays(np.float32, st.tuples(st.integers(1, 4), st.integers(1, 6)), elements=cosines)


@given(arrays(np.float32, st.tuples(st.integers(1, 4), st.integers(1, 6)), elements=st.floats(-5, 5, width=32)))
def test_only_the_best_subject_leads(scores):
    lead = chances.margins(scores, floor=-10.0)
    for row, own in zip(lead, scores, strict=True):
        assert (row > 0).sum() <= 1
        assert row[own.argmax()] == pytest.approx(row.max())


def test_a_lone_subject_must_beat_the_floor():
    lead = chances.margins(np.array([[0.5]], dtype=np.float32), floor=1.0)
    assert lead[0, 0] == pytest.approx(-0.5)


@given(scored)
def test_probabilities_are_probabilities_and_rise_with_the_score(scores):
    lead = chances.margins(scores, CONSTANTS.floor)
    sizes, alike = np.ones(scores.shape[1], dtype=np.int64), np.full(scores.shape[1], np.nan)
    low = chances.probability(scores, lead, sizes, alike, CONSTANTS, count=9, shortage=0.2)
    high = chances.probability(scores + 1, lead, sizes, alike, CONSTANTS, count=9, shortage=0.2)
    assert ((low >= 0) & (high <= 1) & (high >= low)).all()


def test_more_subjects_make_the_same_evidence_weaker():
    evidence = np.array([[4.0]]), np.array([[2.0]]), np.ones(1), np.array([4.0]), CONSTANTS
    alone = chances.probability(*evidence, count=1, shortage=0.2)[0, 0]
    crowd = chances.probability(*evidence, count=100, shortage=0.2)[0, 0]
    assert crowd < alone


def test_little_background_blurs_what_is_seen():
    constants = replace(CONSTANTS, blind=-4.0, blur=0.5)
    seen = np.array([[3.0]]), np.array([[2.0]]), np.ones(1), np.array([4.0])
    usual = chances.probability(*seen, constants, count=9, shortage=constants.shortage(100_000))[0, 0]
    without = chances.probability(*seen, constants, count=9, shortage=constants.shortage(0))[0, 0]
    plain = chances.probability(*seen, CONSTANTS, count=9, shortage=1.0)[0, 0]
    assert without < usual == pytest.approx(plain, abs=1e-3)


def test_pictures_that_differ_ask_less_of_another_one():
    constants = replace(CONSTANTS, alike=-0.4, single=-1.2)
    seen = np.full((1, 3), 3.0), np.full((1, 3), 2.0), np.array([5, 5, 1]), np.array([5.0, 3.0, np.nan])
    same, differ, single = chances.probability(*seen, constants, count=9, shortage=0.2)[0]
    assert differ > same > 0
    assert single > 0


def test_likeness_is_the_mean_cosine_of_two_exemplars():
    vectors = np.random.default_rng(0).normal(size=(6, 8)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    found = norms.likeness(SupportSet.of(vectors, np.array([0, 1, 3])), CONSTANTS)
    pairs = (vectors[3] @ vectors[4] + vectors[3] @ vectors[5] + vectors[4] @ vectors[5]) / 3
    assert np.isnan(found[0])
    assert found[1] == pytest.approx((vectors[1] @ vectors[2] - CONSTANTS.level) / CONSTANTS.spread, abs=1e-4)
    assert found[2] == pytest.approx((pairs - CONSTANTS.level) / CONSTANTS.spread, abs=1e-4)


def test_strangers_on_the_board_set_the_scale():
    scores = np.array([[0.5]], dtype=np.float32)
    constants = Calibration(level=0.1, spread=0.1, drift=0.1)
    random = np.random.default_rng(0)
    common = norms.standardise(scores, random.normal(0.28, 0.1, (1, 256)), constants)
    rare = norms.standardise(scores, random.normal(0.05, 0.1, (1, 256)), constants)
    assert common[0, 0] < norms.standardise(scores, np.zeros((1, 0)), constants)[0, 0] < rare[0, 0]


def test_a_board_full_of_one_character_still_sees_it():
    constants = Calibration(level=0.1, spread=0.1, drift=0.02)
    same = np.full((1, 256), 0.7, dtype=np.float32)
    assert norms.standardise(np.array([[0.7]], dtype=np.float32), same, constants)[0, 0] > 4


@given(arrays(np.float32, (2, 3), elements=cosines), arrays(np.float32, (2, 3), elements=cosines))
def test_a_rejection_further_away_than_the_exemplars_changes_nothing(positive, negative):
    nearer = np.minimum(positive, negative)
    np.testing.assert_array_equal(prototypes.push_down(positive, positive, nearer), positive)


def test_only_the_rejected_picture_itself_is_vetoed():
    positive = np.array([[0.7, 0.7, 0.999]])
    negative = np.array([[0.995, 0.9, 0.995]])
    assert prototypes.vetoed(positive, negative, 0.985).tolist() == [[True, False, False]]


def test_the_best_of_each_owner_is_found():
    got = prototypes.best_of(np.array([[0.1, 0.9, 0.4]], dtype=np.float32), np.array([2, 0, 2]), 3)
    np.testing.assert_allclose(got, [[0.9, -1.0, 0.4]])


@pytest.mark.parametrize(("rate", "expected"), [(0.1, 0.3), (0.05, 0.45), (0.02, 0.65), (0.01, 0.75)])
def test_the_bar_is_what_that_share_of_strangers_reached(rate, expected):
    assert CONSTANTS.bar(rate) == pytest.approx(expected)


def test_the_fewer_strangers_may_be_named_the_higher_is_the_bar():
    bars = [CONSTANTS.bar(rate) for rate in (1.0, 0.5, 0.1, 0.07, 0.05, 0.03, 0.01, 0.001, 0.0001)]
    assert bars == sorted(set(bars))
    assert 0 < bars[0] < bars[-1] < 1
