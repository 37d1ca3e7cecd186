"""Frames of an animation become one answer."""

from __future__ import annotations

import numpy as np

from booru_ml.checkpoint import Head, HeadKind, Label, Pool
from booru_ml.nn import pooling
from booru_ml.types import Category

LABELS = tuple(Label(name, Category.RATING) for name in "gsqe")
ROWS = np.array([[0.7, 0.1, 0.1, 0.1], [0.1, 0.1, 0.1, 0.7], [0.4, 0.4, 0.1, 0.1]], np.float32)


def head(pool: Pool) -> Head:
    return Head("rating", HeadKind.SOFTMAX, labels=LABELS, pool=pool, severity=(0.0, 1.0, 2.0, 3.0))


def test_the_mean_is_the_mean() -> None:
    np.testing.assert_allclose(pooling.scores(head(Pool.MEAN), ROWS), ROWS.mean(axis=0))


def test_the_maximum_is_taken_label_by_label() -> None:
    np.testing.assert_allclose(pooling.scores(head(Pool.MAX), ROWS), [0.7, 0.4, 0.1, 0.7])


def test_the_most_severe_frame_speaks_as_a_whole() -> None:
    np.testing.assert_array_equal(pooling.scores(head(Pool.WORST), ROWS), ROWS[1])


def test_one_frame_is_left_as_it_is() -> None:
    for pool in Pool:
        np.testing.assert_array_equal(pooling.scores(head(pool), ROWS[:1]), ROWS[0])


def test_directions_are_averaged_and_keep_length_one() -> None:
    mean = pooling.direction(np.array([[1, 0], [0, 1]], np.float32))
    np.testing.assert_allclose(mean, [0.5**0.5, 0.5**0.5], atol=1e-6)


def test_opposite_directions_fall_back_to_the_first_frame() -> None:
    rows = np.array([[1, 0], [-1, 0]], np.float32)
    np.testing.assert_array_equal(pooling.direction(rows), rows[0])
