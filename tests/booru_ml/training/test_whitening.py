"""Whitening undoes what varies within a class and keeps what tells classes apart."""

from __future__ import annotations

import numpy as np
import pytest

from booru_ml.errors import InvalidInput
from booru_ml.training.episodes import accuracy
from booru_ml.training.whitening import Scatter, project, within


def noisy_classes(classes: int, seed: int) -> tuple[np.ndarray, list[str]]:
    """24 numbers each: four tell the class, four shout whatever the class is."""
    random = np.random.default_rng(seed)
    rows = random.normal(0, 0.1, (classes * 8, 24))
    labels = np.repeat(np.arange(classes), 8)
    rows[:, :4] += random.normal(0, 1, (classes, 4))[labels]
    rows[:, 4:8] += random.normal(0, 6, (classes * 8, 4))
    return rows.astype(np.float32), [str(label) for label in labels]


def test_strangers_are_told_apart_better() -> None:
    known, labels = noisy_classes(30, 0)
    strange, names = noisy_classes(20, 1)
    groups = [str(number) for number in range(len(names))]
    plain = strange / np.linalg.norm(strange, axis=1, keepdims=True)
    scatter = Scatter.of(known, labels)
    white = project(strange, scatter.mean, scatter.projection(dim=8, shrink=0.05))
    before, after = (accuracy(rows, names, groups, ways=5, shots=1, count=40) for rows in (plain, white))
    assert before is not None
    assert after is not None
    assert after.mean > before.mean + 0.2


def test_without_labels_all_directions_become_alike() -> None:
    rows = np.random.default_rng(0).normal(0, [1, 5, 20], (500, 3)).astype(np.float32)
    scatter = Scatter.of(rows)
    turned = (rows - scatter.mean) @ scatter.projection(dim=3, shrink=0).T
    np.testing.assert_allclose(np.cov(turned.T), np.eye(3), atol=0.02)


def test_vectors_have_length_one() -> None:
    rows, labels = noisy_classes(6, 0)
    scatter = Scatter.of(rows, labels)
    vectors = project(rows, scatter.mean, scatter.projection(dim=5, shrink=0.3))
    assert vectors.shape == (48, 5)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)


def test_within_class_covariance() -> None:
    rows = np.array([[0.0, 1.0], [0.0, 3.0], [9.0, 5.0], [9.0, 7.0]])
    np.testing.assert_allclose(within(rows, ["a", "a", "b", "b"]), [[0, 0], [0, 2]])


def test_a_direction_that_never_varies_is_not_blown_up() -> None:
    rows, labels = noisy_classes(6, 0)
    rows[:, 20:] = 3.0
    scatter = Scatter.of(rows, labels)
    assert np.isfinite(scatter.projection(dim=10, shrink=0)).all()


@pytest.mark.parametrize(("dim", "shrink"), [(0, 0.5), (1000, 0.5), (4, 1.5)])
def test_impossible_settings_are_refused(dim: int, shrink: float) -> None:
    rows, labels = noisy_classes(6, 0)
    with pytest.raises(InvalidInput, match="Whitening takes"):
        Scatter.of(rows, labels).projection(dim=dim, shrink=shrink)


def test_classes_of_one_picture_teach_nothing() -> None:
    rows, _ = noisy_classes(2, 0)
    with pytest.raises(InvalidInput, match="two pictures"):
        Scatter.of(rows, [str(number) for number in range(len(rows))])
    with pytest.raises(InvalidInput, match="two pictures"):
        Scatter.of(rows[:1])
