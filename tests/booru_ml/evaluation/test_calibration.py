"""Calibration: found on some pictures, tested on others, kept with the checkpoint and served."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from booru_ml.checkpoint import Checkpoint, HeadKind, pin
from booru_ml.errors import CheckpointError, InvalidInput
from booru_ml.evaluation import calibration, softmax
from tests.booru_ml.evaluation.commands import evaluate, rewritten
from tests.booru_ml.training import folders

pytestmark = pytest.mark.torch


def guesses(count: int, bend: Any) -> tuple[Any, Any]:
    """Probabilities (N, 3) and classes drawn from ``bend`` of them."""
    random = np.random.default_rng(0)
    chances = random.dirichlet([0.7, 0.7, 0.7], count)
    meant = bend(chances)
    meant /= meant.sum(axis=1, keepdims=True)
    return chances, np.array([random.choice(3, p=row) for row in meant])


@pytest.mark.parametrize(
    ("bend", "best"), [(lambda p: p**0.4, "temperature"), (lambda p: 0.1 + 0.5 * (p > 0.6), "isotonic")]
)
def test_the_way_is_taken_that_is_likelier_on_what_it_was_not_found_on(bend: Any, best: str) -> None:
    chances, truth = guesses(1500, bend)
    losses = softmax.cross_validate(chances, truth, np.arange(1500).astype(str))
    assert min(losses, key=lambda way: losses[way]) == best


def test_a_curve_rises_and_leaves_the_order_alone() -> None:
    random = np.random.default_rng(1)
    scores = random.uniform(size=(400, 4))
    curve = calibration.isotonic(scores, random.uniform(size=(400, 4)) < scores**2)
    assert (np.diff(curve).min(axis=1) > 0).all()
    assert np.interp([0.3, 0.8], *curve) == pytest.approx([0.09, 0.64], abs=0.07)
    said = softmax.Isotonic(curve)(scores)
    np.testing.assert_array_equal(said.argsort(axis=1), scores.argsort(axis=1))
    np.testing.assert_allclose(said.sum(axis=1), 1)
    with pytest.raises(InvalidInput, match="lack one"):
        calibration.isotonic(scores, np.ones((400, 4), bool))


def test_a_stored_curve_is_served_and_forgotten_with_its_head(checkpoint: Path, tmp_path: Path) -> None:
    from booru_ml.evaluation.pictures import ask
    from booru_ml.nn.engine import Engine
    from booru_ml.nn.survey import read_picture
    from booru_ml.training import manifest
    from booru_ml.types import Picture

    folder = folders.drawings(tmp_path / "drawings", characters=12)
    asked = rewritten(
        folder, tmp_path / "set", character=lambda n, _: "abc"[n % 3], split=lambda n, _: ("val", "test")[n // 24]
    )
    samples = manifest.read(asked, label="character")[:4]
    before = Checkpoint.load(checkpoint)
    plain = ask(before, samples, ["kind"])["kind"]
    options = ("--data", asked, "--model", checkpoint, "--store", "--calibration")
    figures, _, _ = evaluate("characters", *options, "isotonic")
    after = Checkpoint.load(checkpoint)
    assert after.version != before.version
    assert figures["calibration"] == "isotonic"
    expected = np.interp(plain, *after.calibration["kind"])
    expected /= expected.sum(axis=1, keepdims=True)
    served = ask(after, samples, ["kind"])["kind"]
    np.testing.assert_allclose(served, expected, atol=1e-5)
    assert not np.allclose(served, plain, atol=1e-3)
    engine = Engine([after])
    frame = read_picture(samples[0].path)
    (finding,) = engine.infer([Picture((frame,), 48, 48, 1, "PNG", "0" * 64)])
    engine.close()
    np.testing.assert_allclose(finding.scores["kind"].values, served[0], atol=1e-5)
    # Found anew it is the same, as it is not found on what itself has made.
    again, _, _ = evaluate("characters", *options, "isotonic")
    assert again["calibrations"] == figures["calibrations"]
    evaluate("characters", *options, "temperature")
    assert not Checkpoint.load(checkpoint).calibration


def test_thresholds_move_along_with_the_tags_curve(checkpoint: Path, tmp_path: Path) -> None:
    from booru_ml.evaluation.pictures import ask
    from booru_ml.training import manifest

    folder = folders.drawings(tmp_path / "drawings", characters=12)
    options = ("--model", checkpoint, "--calibrate", "--store", "--data")
    chance = rewritten(folder, tmp_path / "chance" / "set", tags=lambda n, _: ("sky", "sky sea", "sea", "")[n % 4])
    _, said, _ = evaluate("tags", *options, chance)
    assert "the curve is not kept" in said
    before = Checkpoint.load(checkpoint)
    assert not before.calibration
    # Now what is said is so, though the scores lie close together.
    scores = ask(before, manifest.read(folder, label="character"), ["tags"])["tags"]
    carried = [" ".join(np.array(["sky", "sea"])[row > np.quantile(scores, 0.75)]) or "moon" for row in scores]
    assert [label.name for label in before.heads["tags"].labels] == ["sky", "sea"]
    told = rewritten(folder, tmp_path / "told" / "set", tags=lambda n, _: carried[n])
    figures, _, _ = evaluate("tags", *options, told)
    assert figures["calibration"]["nll_calibrated"] < figures["calibration"]["nll"]
    after = Checkpoint.load(checkpoint)
    assert set(after.thresholds["tags"]) == {"sky", "sea"}
    moved = calibration.store_curve(after, "tags", ((0.0, 1.0), (0.0, 0.5)))
    raw = np.interp(after.thresholds["tags"]["sea"], after.calibration["tags"][1], after.calibration["tags"][0])
    assert moved.thresholds["tags"]["sea"] == pytest.approx(raw / 2, abs=1e-3)


def test_a_threshold_of_a_rare_tag_is_not_rounded_to_nothing(checkpoint: Path) -> None:
    found = {"sky": 2.1e-5, "sea": 0.123456789}
    calibration.store_thresholds(Checkpoint.load(checkpoint), "tags", found)
    assert Checkpoint.load(checkpoint).thresholds["tags"] == pytest.approx(found, rel=1e-8)


def test_what_is_stored_is_in_force_as_a_whole_or_not_at_all(checkpoint: Path, monkeypatch: Any) -> None:
    def killed(_: object) -> None:
        raise KeyboardInterrupt

    calibration.store_thresholds(Checkpoint.load(checkpoint), "tags", {"sky": 0.4})
    before = Checkpoint.load(checkpoint)
    monkeypatch.setattr(calibration, "pin", killed)
    for store in (
        lambda: calibration.store_thresholds(before, "tags", {"sky": 0.6}),
        lambda: calibration.store_curve(before, "tags", ((0.0, 1.0), (0.0, 0.5))),
    ):
        with pytest.raises(KeyboardInterrupt):
            store()
        assert Checkpoint.load(checkpoint).version == before.version
    assert [path.name for path in checkpoint.parent.iterdir()] == [checkpoint.name]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("head,score,probability\nkind,0,0\n", "two points or more"),
        ("head,score,probability\nkind,0,0\nkind,0.5,0.4\nkind,0.5,0.6\n", "rise"),
        ("head,score,probability\nkind,0,0\nkind,1,1.5\n", "a probability must lie between 0 and 1"),
        ("head,score,probability\nkind,nan,0\nkind,1,1\n", "a score must lie between 0 and 1"),
        ("head,score,probability\nembedding,0,0\nembedding,1,1\n", "no head 'embedding'"),
        ("head,score\nkind,0\n", "lacks the columns probability"),
    ],
)
def test_a_strangers_curve_is_checked(checkpoint: Path, text: str, message: str) -> None:
    (checkpoint / "calibration.csv").write_text(text)
    pin(checkpoint)
    with pytest.raises(CheckpointError, match=message):
        Checkpoint.read(checkpoint)


def test_labels_that_exclude_no_other_need_not_add_up(checkpoint: Path) -> None:
    from booru_ml.nn.calibrated import calibrated

    known = replace(Checkpoint.load(checkpoint), calibration={"tags": ((0.0, 0.5, 1.0), (0.0, 0.2, 0.9))})
    assert known.heads["tags"].kind is HeadKind.SIGMOID
    rows = np.array([[0.5, 0.75]], np.float32)
    assert calibrated(known, "tags", rows)[0] == pytest.approx([0.2, 0.55])
    assert calibrated(known, "kind", rows) is rows
