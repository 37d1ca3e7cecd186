"""A checkpoint that is asked for some of its tasks says nothing else, and does not work for what nobody asked."""

from __future__ import annotations

from booru_ml.checkpoint import Checkpoint
from booru_ml.conf import CHECKPOINTS
from booru_ml.nn.engine import Engine
from tests.contracts import frames


def test_each_checkpoint_answers_what_it_is_asked_for() -> None:
    lite, nsfw = (Checkpoint.read(CHECKPOINTS / name) for name in ("booru-lite", "nsfwjs"))
    whole = Engine([lite, nsfw], runtime="onnx")
    part = Engine([nsfw.speaking({"rating"}), lite.speaking({"embedding"})], runtime="onnx")
    pictures = [frames.picture(frames.ramp(60, 40))]
    (everything,), (asked,) = whole.infer(pictures), part.infer(pictures)
    assert set(everything.scores) == {"quality", "nsfw", "rating", "medium"}
    assert set(asked.scores) == {"rating"}
    assert (asked.scores["rating"].values == everything.scores["rating"].values).all()
    assert (asked.embedding == everything.embedding).all()
    assert (asked.style == everything.style).all()
    assert whole.version != part.version
    assert set(part._forward([frames.ramp(60, 40)])[0]) == {"rating"}
