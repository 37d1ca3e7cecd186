"""Each method by its own properties, and beside the published implementation where easyfsl has it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from booru_ml.errors import InvalidInput
from embeddings import methods
from embeddings.methods import METHODS, SupportSet, normalise
from embeddings.methods.coverage import farthest_points
from embeddings.methods.exemplars import Exemplars, soft_best
from embeddings.methods.mean import CosineMean, EuclideanMean
from embeddings.methods.simpleshot import SimpleShot
from embeddings.methods.whitened import Whitened, within
from tests.embeddings.factories import SIZE, Artist

cosines = st.floats(-1, 1, width=32)
every = pytest.mark.parametrize("method", [method() for method in METHODS], ids=lambda method: method.name)


@st.composite
def galleries(draw):
    """(exemplar cosines (Q, M), prototype cosines (Q, N), starts (N,))"""
    sizes = draw(st.lists(st.integers(1, 5), min_size=1, max_size=6))
    queries = draw(st.integers(1, 4))
    starts = np.cumsum([0, *sizes[:-1]]).astype(np.int64)
    exemplars = draw(arrays(np.float32, (queries, sum(sizes)), elements=cosines))
    return exemplars, draw(arrays(np.float32, (queries, len(sizes)), elements=cosines)), starts


def episode(seed: int = 0, *, ways: int = 7, noise: float = 1.6) -> tuple[SupportSet, np.ndarray, np.ndarray]:
    """Subjects with one to four exemplars, queries and whom they show."""
    draw = Artist(seed, noise)
    looks = [draw.character() for _ in range(ways)]
    sizes = draw.random.integers(1, 5, ways)
    shown = np.stack([draw.picture(look) for look, size in zip(looks, sizes, strict=True) for _ in range(size)])
    truth = np.repeat(np.arange(ways), 10)
    queries = np.stack([draw.picture(looks[place]) for place in truth])
    background = np.stack([draw.picture() for _ in range(50)])
    return SupportSet.of(shown, np.cumsum(sizes) - sizes, background=background), queries, truth


def agrees(ours: np.ndarray, theirs: np.ndarray) -> None:
    """The same order of subjects for each query, not the same scale."""
    np.testing.assert_array_equal(np.argsort(ours, axis=1), np.argsort(theirs, axis=1))


def published(name: str, support: SupportSet, queries: np.ndarray, **options: object) -> np.ndarray:
    torch, easyfsl = pytest.importorskip("torch"), pytest.importorskip("easyfsl.methods")
    oracle = getattr(easyfsl, name)(**options)
    oracle.process_support_set(torch.from_numpy(support.exemplars), torch.from_numpy(support.owners))
    return np.asarray(oracle(torch.from_numpy(queries)))


@pytest.mark.torch
@pytest.mark.parametrize("seed", range(3))
def test_the_euclidean_mean_is_the_published_prototypical_network(seed):
    support, queries, _ = episode(seed)
    theirs = published("PrototypicalNetworks", support, queries)
    ours = EuclideanMean().fit(support).score(queries)
    agrees(ours, theirs)
    np.testing.assert_allclose(np.sqrt(2 - 2 * ours), -theirs, atol=1e-3)


@pytest.mark.torch
@pytest.mark.parametrize("seed", range(3))
def test_the_cosine_mean_is_the_published_one_uncentred(seed):
    support, queries, _ = episode(seed)
    np.testing.assert_allclose(
        CosineMean().fit(support).score(queries), published("SimpleShot", support, queries), atol=1e-5
    )


@pytest.mark.torch
@pytest.mark.parametrize("seed", range(3))
def test_cl2n_is_the_published_one(seed):
    torch = pytest.importorskip("torch")
    support, queries, _ = episode(seed)
    centre = torch.from_numpy(support.background.mean(axis=0))
    options = {"feature_centering": centre, "feature_normalization": 2.0}
    # The paper compares by distance, which is what easyfsl's prototypical network does with its features.
    agrees(SimpleShot().fit(support).score(queries), published("PrototypicalNetworks", support, queries, **options))


@every
def test_a_method_tells_subjects_apart(method):
    support, queries, truth = episode(noise=1.2)
    assert (method.fit(support).score(queries).argmax(axis=1) == truth).mean() > 0.8


@every
def test_a_few_subjects_score_as_they_do_among_all(method):
    support, queries, _ = episode()
    fitted, places = method.fit(support), np.array([1, 2, 5])
    np.testing.assert_allclose(
        fitted.take(places).score(queries), fitted.score(queries)[:, places], rtol=1e-4, atol=1e-5
    )


@every
def test_half_of_the_trust_is_one_picture_of_two(method):
    """Two pictures of which one is shown twice are the same as one weighing twice the other."""
    first, second = Artist(3).character(), Artist(4).character()
    twice = SupportSet.of(np.stack([first, first, second]), np.array([0]))
    weighed = SupportSet.of(np.stack([first, second]), np.array([0]), weights=np.array([2.0, 1.0]))
    query = Artist(5).picture(first)[None]
    if isinstance(method, Exemplars):  # its prototype counts as one exemplar of the mean weight, so it shifts a little
        assert method.fit(weighed).score(query) == pytest.approx(method.fit(twice).score(query), abs=0.02)
    else:
        np.testing.assert_allclose(method.fit(weighed).means, method.fit(twice).means, atol=1e-6)


@every
def test_a_distrusted_mistake_hardly_counts(method):
    draw = Artist(0)
    miku, mistake = draw.character(), draw.character()
    shown, starts = np.stack([draw.picture(miku), mistake, draw.character()]), np.array([0, 2])
    query = draw.picture(mistake)[None]
    trusted = method.fit(SupportSet.of(shown, starts)).score(query)[0, 0]
    doubted = method.fit(SupportSet.of(shown, starts, weights=np.array([1, 0.02, 1]))).score(query)[0, 0]
    assert doubted < trusted - 0.1


@pytest.mark.parametrize("method", [CosineMean(), EuclideanMean(), SimpleShot(), Whitened(), Exemplars(10.0)])
def test_one_picture_of_one_subject_is_enough(method):
    only = Artist().character()[None]
    fitted = method.fit(SupportSet.of(only, np.array([0])))
    assert fitted.score(only)[0, 0] == pytest.approx(1, abs=1e-5)


def test_whitening_ignores_how_a_subject_always_varies():
    """Subjects differ in one direction a little, and all their pictures in another a lot."""
    random = np.random.default_rng(0)
    axis, noise = np.eye(SIZE)[0], np.eye(SIZE)[1]
    base = np.eye(SIZE)[2]

    def pictures(sign: float, count: int) -> np.ndarray:
        rows = base + 0.2 * sign * axis + 0.8 * random.normal(size=(count, 1)) * noise
        return normalise((rows + 0.01 * random.normal(size=(count, SIZE))).astype(np.float32))

    support = SupportSet.of(np.concatenate([pictures(1, 12), pictures(-1, 12)]), np.array([0, 12]))
    queries, truth = np.concatenate([pictures(1, 100), pictures(-1, 100)]), np.repeat([0, 1], 100)

    def right(method: methods.Method) -> float:
        return float((method.fit(support).score(queries).argmax(axis=1) == truth).mean())

    assert right(Whitened()) > 0.97
    assert right(CosineMean()) < 0.9
    residuals, freedom = within(support)
    assert freedom == 22
    assert np.linalg.norm(residuals @ noise) > 5 * np.linalg.norm(residuals @ axis)


@given(galleries(), st.floats(1, 100))
def test_the_soft_best_lies_between_mean_and_maximum(gallery, sharpness):
    exemplars, prototype, starts = gallery
    got = soft_best(exemplars, prototype, starts, sharpness)
    ends = [*starts[1:], exemplars.shape[1]]
    for subject, (start, end) in enumerate(zip(starts, ends, strict=True)):
        own = np.column_stack([exemplars[:, start:end], prototype[:, subject]])
        assert (got[:, subject] <= own.max(axis=1) + 1e-4).all()
        assert (got[:, subject] >= own.mean(axis=1) - 1e-4).all()


def test_several_looks_survive_where_their_mean_would_not():
    looks = np.array([[1.0, 0.0, 0.0]], dtype=np.float32)  # the query wears the first of three costumes
    got = soft_best(looks, np.array([[1 / 3]], dtype=np.float32), np.array([0]), 20.0)
    assert got[0, 0] > 0.9


def test_opposite_exemplars_have_no_direction_and_no_nan():
    support = SupportSet.of(np.array([[1, 0], [-1, 0]], dtype=np.float32), np.array([0]))
    assert np.isfinite(CosineMean().fit(support).score(support.exemplars)).all()


@given(st.integers(1, 30), st.integers(1, 12), st.integers(0, 99))
def test_what_is_kept_leaves_no_picture_farther_than_twice_the_best_choice(count, most, seed):
    vectors = normalise(np.random.default_rng(seed).normal(size=(count, 3)).astype(np.float32))
    kept = farthest_points(vectors, most)
    assert len(set(kept.tolist())) == min(count, most)
    angles = np.arccos(np.clip(vectors @ vectors[kept].T, -1, 1)).min(axis=1)
    if count > most:  # k-centre's bound, from the pigeonhole: most + 1 points that far apart share a centre
        apart = np.arccos(np.clip(vectors[kept] @ vectors[kept].T, -1, 1))[~np.eye(most, dtype=bool)]
        assert most == 1 or angles.max() <= apart.min() + 1e-3


def test_a_rare_costume_survives_the_cap():
    draw = Artist(0, noise=0.3)
    usual, rare = draw.character(), draw.character()
    vectors = np.stack([draw.picture(usual) for _ in range(60)] + [draw.picture(rare) for _ in range(2)])
    assert set(farthest_points(vectors, 4).tolist()) & {60, 61}


def test_an_unknown_method_is_told_which_there_are():
    with pytest.raises(InvalidInput, match="mean, mean-cosine, simpleshot, exemplars, whitened"):
        methods.named("resnet")


@pytest.mark.parametrize(
    ("starts", "weights"), [([0, 0], [1, 1]), ([1], [1, 1]), ([0, 2], [1, 1]), ([0], [1]), ([0], [1, 0])]
)
def test_supports_that_do_not_fit_are_refused(starts, weights):
    with pytest.raises(ValueError, match="each"):
        SupportSet.of(np.eye(2, dtype=np.float32), np.array(starts), weights=np.array(weights))
