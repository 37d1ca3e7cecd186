"""What every engine promises, on each route: the same suite for ONNX Runtime, OpenVINO and torch, CPU and GPU."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice

import numpy as np
import pytest

from booru_ml.checkpoint import Checkpoint
from booru_ml.conf import CHECKPOINTS
from booru_ml.nn.engine import Engine
from booru_ml.nn.routes import ROUTES, gpus
from booru_ml.nn.routes.probe import HALF_TOLERANCE
from booru_ml.types import Category, Finding, Picture, PixelArray
from tests.contracts import frames

TOLERANCE = 1e-3


@pytest.fixture(scope="module")
def checkpoints() -> list[Checkpoint]:
    return [Checkpoint.load(CHECKPOINTS / name) for name in ("booru-lite", "nsfwjs")]


def _torch(route: str, device: str) -> object:
    return pytest.param((route, device), marks=pytest.mark.torch, id=f"{route}-{device}")


@pytest.fixture(
    scope="module",
    params=[
        pytest.param(("onnx", "cpu"), id="onnx"),
        pytest.param(("openvino", "cpu"), id="openvino"),
        pytest.param(("openvino-bf16", "cpu"), id="openvino-bf16"),
        _torch("torch", "cpu"),
        _torch("torch-channels-last", "simulated"),
        _torch("torch", "cuda:0"),
        _torch("torch-channels-last", "cuda:0"),
    ],
)
def engine(request: pytest.FixtureRequest, checkpoints: list[Checkpoint]) -> Iterator[Engine]:
    """Each route that is installed. ``simulated``: a GPU with room for three rows; ``cuda:0``: a real one."""
    route, device = request.param
    if ROUTES[route].missing:
        pytest.skip(f"{ROUTES[route].missing[0]} is not installed")
    if device == "cuda:0" and not gpus.count():
        pytest.skip("no GPU at hand")
    with pytest.MonkeyPatch.context() as patch:
        if device == "simulated":
            from tests.booru_ml.nn.simulated import SimulatedGpu

            patch.setattr("booru_ml.nn.routes.devices.open_device", lambda name: SimulatedGpu(room=3))
        engine = Engine(checkpoints, runtime=route, device="cpu" if device == "simulated" else device)
    yield engine
    engine.close()


@pytest.fixture(scope="module")
def pictures() -> list[Picture]:
    return frames.everything()


@pytest.fixture(scope="module")
def many(pictures: list[Picture]) -> list[Picture]:
    """32 different pictures of odd sizes: each of ``pictures`` as it is, mirrored and dark, light, in negative."""
    changes: tuple[Callable[[PixelArray], PixelArray], ...] = (
        lambda pixels: pixels,
        lambda pixels: np.ascontiguousarray(pixels[:, ::-1] // 2),
        lambda pixels: pixels // 2 + 128,
        lambda pixels: 255 - pixels,
    )
    return [frames.picture(*map(change, one.frames)) for change in changes for one in pictures]


@pytest.fixture(scope="module")
def findings(engine: Engine, pictures: list[Picture]) -> list[Finding]:
    return engine.infer(pictures)


@pytest.fixture(scope="module")
def reference(checkpoints: list[Checkpoint], pictures: list[Picture]) -> list[Finding]:
    engine = Engine(checkpoints, runtime="onnx")
    yield engine.infer(pictures)
    engine.close()


def assert_same(one: Finding, other: Finding) -> None:
    np.testing.assert_allclose(one.embedding, other.embedding, atol=TOLERANCE)
    np.testing.assert_allclose(one.style, other.style, atol=TOLERANCE)
    assert one.scores.keys() == other.scores.keys()
    for name, scores in one.scores.items():
        np.testing.assert_allclose(scores.values, other.scores[name].values, atol=TOLERANCE, err_msg=name)
    assert [face.box for face in one.faces] == [face.box for face in other.faces]
    for face, twin in zip(one.faces, other.faces, strict=True):
        np.testing.assert_allclose(face.embedding, twin.embedding, atol=TOLERANCE)


def test_each_picture_gets_its_own_finding(findings: list[Finding], pictures: list[Picture]) -> None:
    assert len(findings) == len(pictures)


def test_vectors_have_length_one(findings: list[Finding], engine: Engine) -> None:
    for finding in findings:
        assert finding.embedding.shape == (engine.checkpoints[0].embedding_dim,)
        assert finding.style.shape == (engine.checkpoints[0].style_dim,)
        for vector in (finding.embedding, finding.style, *(face.embedding for face in finding.faces)):
            assert vector.dtype == np.float32
            assert np.linalg.norm(vector) == pytest.approx(1, abs=1e-5)


def test_probabilities_add_up(findings: list[Finding]) -> None:
    for finding in findings:
        assert set(finding.scores) == {"nsfw", "rating", "medium", "quality"}
        for scores in finding.scores.values():
            assert np.all((scores.values >= 0) & (scores.values <= 1))
            assert float(scores.values.sum()) == pytest.approx(1, abs=1e-5)


def test_scores_say_what_they_are_and_who_said_so(findings: list[Finding], engine: Engine) -> None:
    rating = findings[0].scores["rating"]
    assert rating.labels == ("g", "s", "q", "e")
    assert set(rating.categories) == {Category.RATING}
    assert rating.model == engine.checkpoints[1].version
    assert findings[0].scores["medium"].labels == ("drawing", "photo")
    assert findings[0].embedding_model == engine.checkpoints[0].version


def test_routes_agree(engine: Engine, findings: list[Finding], reference: list[Finding]) -> None:
    for one, other in zip(findings, reference, strict=True):
        if ROUTES[engine.routes[0]].half:  # serves only the checkpoint that says so, which gives the embedding
            assert one.embedding @ other.embedding > 1 - HALF_TOLERANCE
        else:
            assert_same(one, other)


def test_a_picture_does_not_depend_on_its_batch(
    engine: Engine, findings: list[Finding], pictures: list[Picture]
) -> None:
    for picture, together in zip(pictures, findings, strict=True):
        assert_same(engine.infer([picture])[0], together)


def test_scores_and_rankings_are_those_of_a_batch_of_32(engine: Engine, many: list[Picture]) -> None:
    together = engine.infer(many)
    rest = iter(many)
    apart = [finding for size in (1, 1, 1, 1, 2, 3, 5, 7, 11) for finding in engine.infer(list(islice(rest, size)))]
    for one, other in zip(together, apart, strict=True):
        assert_same(one, other)
        for name, scores in one.scores.items():
            assert list(np.argsort(scores.values)) == list(np.argsort(other.scores[name].values))
    assert neighbours(together) == neighbours(apart)
    assert sum(len(finding.faces) for finding in together) >= 4


def neighbours(findings: list[Finding]) -> list[list[int]]:
    """The five nearest of each picture by embedding, nearest first."""
    vectors = np.stack([finding.embedding for finding in findings])
    return [list(row) for row in np.argsort(-(vectors @ vectors.T), axis=1, kind="stable")[:, 1:6]]


def test_order_does_not_matter(engine: Engine, findings: list[Finding], pictures: list[Picture]) -> None:
    for one, other in zip(engine.infer(pictures[::-1]), findings[::-1], strict=True):
        assert_same(one, other)


def test_batches_larger_than_one_forward_are_cut(engine: Engine, findings: list[Finding]) -> None:
    many = engine.infer([frames.picture(frames.noise(1, 1, 1))] * 70)
    assert len(many) == 70
    assert_same(many[69], findings[1])


def test_the_same_question_gets_the_same_answer(
    engine: Engine, findings: list[Finding], pictures: list[Picture]
) -> None:
    again = engine.infer(pictures)
    for one, other in zip(again, findings, strict=True):
        np.testing.assert_array_equal(one.embedding, other.embedding)
        np.testing.assert_array_equal(one.scores["nsfw"].values, other.scores["nsfw"].values)


def test_an_animation_is_rated_by_its_most_severe_frame(
    engine: Engine, findings: list[Finding], pictures: list[Picture]
) -> None:
    def severity(finding: Finding) -> float:
        return float(finding.scores["rating"].values @ np.arange(4))

    animation = pictures[5]
    alone = engine.infer([frames.picture(frame) for frame in animation.frames])
    worst = max(alone, key=severity)
    np.testing.assert_allclose(findings[5].scores["rating"].values, worst.scores["rating"].values, atol=TOLERANCE)


def test_an_animations_embedding_is_the_mean_direction(
    engine: Engine, findings: list[Finding], pictures: list[Picture]
) -> None:
    alone = engine.infer([frames.picture(frame) for frame in pictures[5].frames])
    mean = np.mean([finding.embedding for finding in alone], axis=0)
    np.testing.assert_allclose(findings[5].embedding, mean / np.linalg.norm(mean), atol=TOLERANCE)


def test_faces_are_found_and_embedded(findings: list[Finding]) -> None:
    (face,) = findings[6].faces
    assert 0.5 <= face.score <= 1
    centre = (face.box.x + face.box.width / 2, face.box.y + face.box.height / 2)
    assert centre == pytest.approx((104 / 220, 154 / 300), abs=0.15)
    assert not findings[0].faces


def test_the_frame_that_shows_a_face_gives_the_faces(findings: list[Finding]) -> None:
    assert len(findings[7].faces) == 1


def test_crops_are_embedded_as_pictures_are(engine: Engine, findings: list[Finding], pictures: list[Picture]) -> None:
    assert engine.embed([]).shape == (0, engine.checkpoints[0].embedding_dim)
    np.testing.assert_allclose(engine.embed([pictures[0].frames[0]])[0], findings[0].embedding, atol=TOLERANCE)


def test_no_pictures_no_findings(engine: Engine) -> None:
    assert engine.infer([]) == []


def test_the_version_names_every_checkpoint(engine: Engine, checkpoints: list[Checkpoint]) -> None:
    assert engine.version.startswith("booru-lite+nsfwjs@")
    assert len(engine.version) <= 64
    assert Engine(checkpoints[::-1]).version != engine.version


def test_warming_up_answers_nothing(engine: Engine) -> None:
    engine.warm_up()
