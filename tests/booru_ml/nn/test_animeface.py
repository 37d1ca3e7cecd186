"""The native face library, for checkpoints that choose it: finds, reduces, and says when it cannot."""

from __future__ import annotations

import numpy as np
import pytest

from booru_ml.checkpoint import Checkpoint
from booru_ml.conf import CHECKPOINTS
from booru_ml.errors import Unavailable
from booru_ml.nn import animeface
from booru_ml.nn.animeface import AnimeFaceDetector, drawn_face
from booru_ml.nn.engine import Engine
from tests.contracts import frames


def test_the_drawn_face_is_found_where_it_is() -> None:
    detector = AnimeFaceDetector()
    assert detector.problem is None
    ((box, score),) = detector.detect([frames.with_face()])[0]
    assert score > 0.5
    assert (box.x + box.width / 2, box.y + box.height / 2) == pytest.approx((104 / 220, 154 / 300), abs=0.15)


def test_slivers_and_blank_paper_have_no_faces() -> None:
    assert AnimeFaceDetector().detect([np.full((2000, 3, 3), 255, np.uint8), frames.ramp(300, 300)]) == [[], []]


def test_a_library_that_is_missing_costs_only_the_faces(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(_: object) -> None:
        raise Unavailable("The native face library is not installed.")

    monkeypatch.setattr(animeface, "find_faces", missing)
    detector = AnimeFaceDetector()
    assert detector.problem is not None
    assert "No faces are looked for" in detector.problem
    assert detector.detect([drawn_face()]) == [[]]


def test_a_blind_library_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(animeface, "find_faces", lambda _: [])
    assert "misses the drawn face" in str(AnimeFaceDetector().problem)


@pytest.mark.parametrize("size", [10, 5000])
def test_a_size_beyond_the_library_is_refused(size: int) -> None:
    with pytest.raises(ValueError, match="size must be"):
        AnimeFaceDetector(size)


def test_an_engine_may_be_given_a_detector() -> None:
    engine = Engine([Checkpoint.load(CHECKPOINTS / "lite0")], runtime="onnx", detector=AnimeFaceDetector())
    (finding,) = engine.infer([frames.picture(frames.with_face())])
    (face,) = finding.faces
    assert face.embedding.shape == (engine.checkpoints[0].embedding_dim,)
    engine.close()
