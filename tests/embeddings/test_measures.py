from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from booru_ml.evaluation.scores import calibration_error
from embeddings import measures, sampling

scores = st.lists(st.integers(0, 8).map(lambda n: n / 8), min_size=1, max_size=30).map(np.array)


@given(scores, scores)
def test_auroc_is_that_of_scikit_learn(high, low):
    truth = np.repeat([1, 0], [len(high), len(low)])
    assert measures.auroc(high, low) == pytest.approx(roc_auc_score(truth, np.concatenate([high, low])))


@given(scores, st.floats(0.01, 0.99))
def test_no_more_strangers_than_asked_for_exceed_the_bar(strangers, rate):
    assert (strangers > measures.bar_for(strangers, rate)).mean() <= rate


@given(scores, scores)
def test_where_every_answer_is_right_oscr_is_the_auroc(known, strangers):
    right = np.ones(len(known), dtype=bool)
    assert measures.oscr(known, right, strangers) == pytest.approx(measures.auroc(known, strangers))


def test_a_wrong_name_counts_against_oscr_but_not_against_auroc():
    known, strangers = np.array([0.9, 0.8]), np.array([0.1])
    assert measures.oscr(known, np.array([True, False]), strangers) == pytest.approx(0.5)
    assert measures.auroc(known, strangers) == 1


def test_the_true_positive_rate_is_read_at_the_strangers_bar():
    assert measures.tpr_at_fpr(np.array([0.5, 0.9]), np.linspace(0, 0.8, 100), 0.05) == 0.5


def test_calibrated_probabilities_have_no_error_and_boasts_have_theirs():
    random = np.random.default_rng(0)
    chance = random.random(200_000)
    assert calibration_error(chance, random.random(200_000) < chance) < 0.01
    assert calibration_error(np.full(10, 0.9), np.arange(10) < 5) == pytest.approx(0.4)


@given(st.lists(st.integers(1, 6), min_size=2, max_size=8), st.integers(1, 12), st.integers(0, 99), st.data())
def test_support_and_query_never_share_a_group(sizes, queries, seed, data):
    groups = [group for group, size in enumerate(sizes) for _ in range(size)]
    own = sampling.classes(["a"] * len(groups), [str(group) for group in groups])["a"]
    shots = data.draw(st.integers(1, sampling.most_shots(own)))
    shown, asked = sampling.split(own, np.random.default_rng(seed), shots=shots, queries=queries)
    assert len(shown) == shots
    assert 1 <= len(asked) <= queries
    assert not {groups[row] for row in shown} & {groups[row] for row in asked}


def test_a_class_of_one_group_cannot_be_asked_about():
    assert sampling.most_shots([np.arange(5)]) == 0
