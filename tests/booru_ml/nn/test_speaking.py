"""A checkpoint that is asked for some of its tasks says nothing else, and does not work for what nobody asked; several
run side by side where few pictures wait."""

from __future__ import annotations

import threading

import pytest

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
    assert set(part._see(0, part._fitted([frames.ramp(60, 40)]))) == {"rating"}


def test_few_pictures_are_seen_by_all_checkpoints_at_once_and_many_by_one_after_the_other(monkeypatch) -> None:
    lite, nsfw = (Checkpoint.read(CHECKPOINTS / name) for name in ("booru-lite", "nsfwjs"))
    engine, threads = Engine([nsfw, lite], runtime="onnx"), []
    see = engine._sessions[0].see
    monkeypatch.setattr(
        engine._sessions[0],
        "see",
        lambda *asked, **how: threads.append(threading.current_thread()) or see(*asked, **how),
    )
    pictures = [frames.picture(frames.with_face()), frames.picture(frames.ramp(60, 40))]
    for together, alone in zip(engine.infer(pictures), engine.infer(pictures, beside=False), strict=True):
        assert together.scores.keys() == alone.scores.keys()
        assert all((together.scores[name].values == scores.values).all() for name, scores in alone.scores.items())
        assert (together.embedding == alone.embedding).all()
    engine.infer(pictures * 3)
    here = threading.current_thread()
    assert [thread is here for thread in threads] == [False, True, True]
    engine.close()


def test_what_fails_beside_the_main_checkpoint_fails_the_batch(monkeypatch) -> None:
    lite, nsfw = (Checkpoint.read(CHECKPOINTS / name) for name in ("booru-lite", "nsfwjs"))
    engine = Engine([nsfw, lite], runtime="onnx")

    def out_of_memory(*_: object, **__: object) -> None:
        raise MemoryError("no room")

    monkeypatch.setattr(engine._sessions[0], "see", out_of_memory)
    with pytest.raises(MemoryError, match="no room"):
        engine.infer([frames.picture(frames.ramp(60, 40))])
    engine.close()
