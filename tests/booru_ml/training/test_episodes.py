"""Episodes ask about pictures from sources that the support never showed."""

from __future__ import annotations

import numpy as np
import pytest

from booru_ml.training.episodes import accuracy, episodes

LABELS = [name for name in "abcdef" for _ in range(6)]
GROUPS = [f"{name}/{number // 2}" for name in "abcdef" for number in range(6)]


def test_support_and_query_share_no_group() -> None:
    for supports, asked in episodes(LABELS, GROUPS, ways=4, shots=2, queries=3, count=20):
        assert len(supports) == len(asked) == 4
        for shown, rest in zip(supports, asked, strict=True):
            assert len(shown) == 2
            assert not {GROUPS[row] for row in shown} & {GROUPS[row] for row in rest}
            assert {LABELS[row] for row in (*shown, *rest)} == {LABELS[shown[0]]}


def test_perfect_vectors_are_never_wrong() -> None:
    vectors = np.eye(6, dtype=np.float32)[[ord(name) - ord("a") for name in LABELS]]
    found = accuracy(vectors, LABELS, GROUPS, ways=5, shots=1, count=10)
    assert found is not None
    assert (found.mean, found.ci95) == (1, 0)
    assert str(found) == "100.0 ± 0.0 %"


def test_vectors_that_say_nothing_are_right_by_chance() -> None:
    vectors = np.random.default_rng(0).normal(size=(36, 8)).astype(np.float32)
    found = accuracy(vectors, LABELS, GROUPS, ways=5, shots=1, count=200)
    assert found is not None
    assert found.mean == pytest.approx(0.2, abs=0.08)


@pytest.mark.parametrize(("ways", "shots"), [(7, 1), (2, 3)])
def test_too_few_classes_or_groups_give_no_figure(ways: int, shots: int) -> None:
    assert accuracy(np.ones((36, 2), np.float32), LABELS, GROUPS, ways=ways, shots=shots) is None


def test_the_same_seed_asks_the_same() -> None:
    one, other = (list(episodes(LABELS, GROUPS, ways=3, shots=1, queries=2, count=3, seed=5)) for _ in range(2))
    for (a, b), (c, d) in zip(one, other, strict=True):
        assert all(np.array_equal(x, y) for x, y in zip((*a, *b), (*c, *d), strict=True))
