"""A long gallery is looked through roughly first; what it answers is what the exact way answers."""

from __future__ import annotations

import numpy as np
import pytest

from embeddings import prototypes, shortlist
from embeddings.chances import Calibration
from embeddings.methods import SupportSet, normalise
from embeddings.prototypes import Supports

SIZE, SUBJECTS, EACH = 128, 900, 5


@pytest.fixture(scope="module")
def many() -> tuple[Supports, np.ndarray, np.ndarray]:
    """Subjects whose looks vary along some axes more than along others, as an encoder's do; queries and their truth."""
    random = np.random.default_rng(0)
    scale = np.linspace(1, 0.1, SIZE)
    looks = random.normal(size=(SUBJECTS, SIZE)) * scale

    def pictures(of: np.ndarray) -> np.ndarray:
        return normalise((looks[of] + 0.5 * random.normal(size=(len(of), SIZE)) * scale).astype(np.float32))

    owners = np.repeat(np.arange(SUBJECTS), EACH)
    support = SupportSet.of(pictures(owners), np.arange(SUBJECTS) * EACH)
    truth = random.permutation(SUBJECTS)[:60]
    negatives, rejected = pictures(truth[:20]), truth[:20]
    supports = Supports.of(support, Calibration(), negatives=negatives, owners=rejected)
    return supports, pictures(truth), truth


def test_a_short_gallery_has_no_need_of_it(many):
    supports, *_ = many
    assert supports.shortlist is not None
    assert supports.take(np.arange(300)).shortlist is None


def test_the_three_best_are_on_the_shortlist_and_weigh_as_among_all(many):
    supports, queries, truth = many
    exact = prototypes.weigh(queries, supports, Calibration())
    for row, (places, found) in enumerate(prototypes.weigh_likely(queries, supports, Calibration())):
        best = np.argsort(-exact.standard[row])[:3]
        assert set(best) <= set(places.tolist())
        assert truth[row] in places
        np.testing.assert_allclose(found.standard[0], exact.standard[row, places], rtol=1e-4, atol=1e-4)
        np.testing.assert_allclose(found.chances[0], exact.chances[row, places], rtol=1e-3, atol=1e-5)
        assert (found.vetoed[0] == exact.vetoed[row, places]).all()


def test_former_axes_serve_a_gallery_that_changed_a_little(many):
    supports, queries, _ = many
    support = supports.fitted.support
    former = shortlist.Shortlist.of(support.exemplars, support.starts)
    changed = support.exemplars[:-EACH], support.starts[:-1]
    now = shortlist.Shortlist.of(*changed, like=former)
    assert now.axes is former.axes
    nearest = np.maximum.reduceat(queries @ changed[0].T, changed[1], axis=1).argmax(axis=1)
    assert all(place in found for place, found in zip(nearest, now.likeliest(queries), strict=True))
