"""Figures agree with the libraries that everybody knows; intervals and tests say how sure they are."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from sklearn import metrics

from booru_ml.errors import InvalidInput
from booru_ml.evaluation import calibration, degrade, folds, intervals, linear, scores
from booru_ml.evaluation.answers import Answers, numbered


def answers(
    count: int = 300, classes: int = 6, *, skill: float = 1.0, groups: int = 60, alike: bool = False, seed: int = 0
) -> Answers:
    """Softmax of noise, raised by ``skill`` at the truth; ``alike``: pictures of one group share noise and truth."""
    random = np.random.default_rng(seed)
    group = np.arange(count) % groups
    truth = random.integers(classes, size=groups)[group] if alike else random.integers(classes, size=count)
    noise = random.normal(size=(groups, classes))[group] if alike else random.normal(size=(count, classes))
    noise[np.arange(count), truth] += skill
    paths = tuple(Path(f"{number}.png") for number in range(count))
    names = tuple("abcdefghijklmnop"[:classes])
    return Answers(names, paths, group.astype(str), truth, calibration.softened(noise, 1.0))


def marks(count: int = 200, classes: int = 5) -> Answers:
    random = np.random.default_rng(1)
    truth = random.integers(2, size=(count, classes))
    truth[:, 4] = 0
    chances = np.clip(random.normal(0.35 + 0.3 * truth, 0.2), 0, 1)
    paths = tuple(Path(f"{number}.png") for number in range(count))
    return Answers(tuple("abcde"), paths, np.arange(count).astype(str), truth, chances)


def test_a_class_that_is_as_likely_as_all_others_is_not_among_the_five_likeliest() -> None:
    found = answers()
    nobody = found.saying(np.zeros_like(found.chances))
    assert scores.top5(nobody) == (found.truth < 5).mean()
    assert scores.top5(nobody) < 1


def test_figures_are_scikit_learns() -> None:
    found = answers()
    assert scores.accuracy(found) == metrics.accuracy_score(found.truth, found.said)
    assert scores.balanced(found) == pytest.approx(metrics.balanced_accuracy_score(found.truth, found.said))
    assert scores.top5(found) == pytest.approx(metrics.top_k_accuracy_score(found.truth, found.chances, k=5))
    assert scores.qwk(found) == pytest.approx(metrics.cohen_kappa_score(found.truth, found.said, weights="quadratic"))
    assert scores.mae(found) == pytest.approx(metrics.mean_absolute_error(found.truth, found.said))
    several = marks()
    true, said = several.truth[:, :4], several.chances[:, :4] >= 0.5
    assert scores.micro_f1(several.take(np.arange(200))) == pytest.approx(
        metrics.f1_score(several.truth, several.chances >= 0.5, average="micro", zero_division=0)
    )
    every = [*metrics.f1_score(true, said, average=None), 0.0]  # the fifth tag is said and never there
    assert scores.macro_f1(several) == pytest.approx(np.mean(every))
    assert scores.mean_average_precision(several) == pytest.approx(
        metrics.average_precision_score(true, several.chances[:, :4], average="macro")
    )


def test_a_pair_that_cannot_be_told_apart_is_at_one_half() -> None:
    found = answers(count=900, classes=3, skill=3.0)
    blurred = found.chances.copy()
    blurred[:, :2] = blurred[:, :2].mean(axis=1, keepdims=True)
    pairs = scores.pairwise(found.saying(blurred))
    assert pairs[0, 1] == pairs[1, 0] == 0.5
    assert pairs[0, 2] > 0.9


def test_classes_are_grouped_by_how_much_there_was_to_learn_from() -> None:
    found = answers(classes=3)
    shots = scores.by_shots(found, np.array([300, 50, 0])[found.truth])
    rows = np.flatnonzero(found.truth == 2)
    assert {name: part["classes"] for name, part in shots.items()} == {"many": 1, "medium": 1, "few": 1}
    assert shots["few"]["balanced_top1"] == pytest.approx(scores.accuracy(found.take(rows)))


def test_a_class_of_folds_counts_as_its_pictures_were_learned_in_the_mean() -> None:
    found = answers(classes=3)
    learned = np.where(np.arange(300) % 2, 10, 40)  # by one fold from few, by the other from more: 25
    assert scores.by_shots(found, learned) == {"medium": {"classes": 3, "balanced_top1": scores.balanced(found)}}


def test_pictures_that_are_alike_make_an_interval_wider_not_narrower() -> None:
    metric = {"accuracy": scores.accuracy}
    alike = answers(groups=30, alike=True)
    single = Answers(alike.classes, alike.paths, np.arange(300).astype(str), alike.truth, alike.chances)
    widths = [np.diff(intervals.bootstrap(one, metric, resamples=400)["accuracy"].bounds)[0] for one in (alike, single)]
    assert widths[0] > 2 * widths[1]
    assert intervals.bootstrap(alike, metric, resamples=50) == intervals.bootstrap(alike, metric, resamples=50)


def test_a_better_model_is_told_from_luck() -> None:
    good, poor = answers(skill=2.0), answers(skill=0.5)
    metric = {"accuracy": scores.accuracy, "qwk": scores.qwk}
    told = intervals.paired(good, poor, metric, resamples=300)
    assert told["accuracy"].difference.low > 0
    assert told["qwk"].p < 0.05
    assert intervals.mcnemar(good, poor) < 0.01
    same = intervals.paired(good, good, metric, resamples=50)["accuracy"]
    assert (same.difference.value, same.p, intervals.mcnemar(good, good)) == (0.0, 1.0, 1.0)
    with pytest.raises(InvalidInput, match="same pictures"):
        intervals.paired(good, answers(count=200), metric)


def test_what_cannot_be_measured_is_no_difference() -> None:
    alone = answers(count=40)
    alone = Answers(alone.classes, alone.paths, alone.groups, np.zeros(40, np.int64), alone.chances)
    told = intervals.paired(alone, alone.saying(alone.chances[::-1]), {"spearman": scores.spearman}, resamples=20)
    assert np.isnan(told["spearman"].p), "all pictures are of one grade, so neither model ranks them better"


def test_mcnemar_counts_only_where_the_two_differ() -> None:
    found = answers(count=110, classes=2)
    right = np.eye(2)[found.truth]
    worse = right.copy()
    worse[:10] = worse[:10, ::-1]
    assert intervals.mcnemar(found.saying(right), found.saying(worse)) == pytest.approx(2 * 0.5**10)


def test_a_temperature_undoes_overconfidence() -> None:
    random = np.random.default_rng(0)
    logits = random.normal(size=(4000, 5)) * 2
    chances = calibration.softened(logits, 1.0)
    truth = np.array([random.choice(5, p=row) for row in chances])
    assert calibration.temperature(logits * 3, truth) == pytest.approx(3, rel=0.1)
    blank = answers(count=4000, classes=5)
    blank = Answers(blank.classes, blank.paths, blank.groups, truth, calibration.softened(logits * 3, 1.0))
    assert scores.ece(blank) > 0.1
    assert scores.ece(blank.saying(chances)) < 0.03


def test_thresholds_do_what_they_were_chosen_for() -> None:
    found = marks()
    truth, said = found.truth[:, 0].astype(bool), found.chances[:, 0]
    best = calibration.best_f1(truth, said)
    assert best is not None
    marked = said >= np.unique(said)[:, None]
    hits, counts = (marked & truth).sum(axis=1), marked.sum(axis=1)
    assert metrics.f1_score(truth, said >= best) == pytest.approx((2 * hits / (counts + truth.sum())).max())
    sure = calibration.at_precision(truth, said, 0.95)
    assert sure is not None
    assert metrics.precision_score(truth, said >= sure) >= 0.95
    assert (truth & (said >= sure)).sum() == hits[hits / counts >= 0.95].max()
    assert calibration.best_f1(np.zeros(200, bool), said) is None
    equal = calibration.equal_error(found.truth.astype(bool), found.chances)
    said_all, true_all = found.chances.ravel() >= equal, found.truth.ravel()
    assert metrics.precision_score(true_all, said_all) == pytest.approx(metrics.recall_score(true_all, said_all))


def test_folds_share_no_group_and_learn_every_class() -> None:
    found = answers(count=240, classes=3, groups=24)
    truth = np.array([int(name) % 3 for name in found.groups])
    cut = folds.folds(truth, found.groups, 4)
    assert sorted(np.concatenate([fold.asked for fold in cut]).tolist()) == list(range(240))
    for fold in cut:
        folds.check(found.groups, fold)
    leak = folds.Fold(np.arange(10), np.arange(5, 30))
    with pytest.raises(InvalidInput, match="Leak: "):
        folds.check(found.groups, leak)
    with pytest.raises(InvalidInput, match="two groups or more"):
        folds.folds(np.array([0, 0, 1, 1, 1]), np.array(["a", "a", "b", "c", "d"]), 2)


def test_the_nearest_other_picture_is_of_another_group() -> None:
    pixels = np.array([[0], [0.1], [5], [0.3]], np.float32)
    assert folds.nearest_other(pixels, np.array(["a", "a", "b", "c"])).tolist() == [3, 3, 3, 1]


@pytest.mark.parametrize("rule", [linear.learned, linear.nearest_mean])
def test_what_tells_classes_apart_is_learned_and_who_is_shown_is_not(rule: object) -> None:
    """36 characters of three artists: the style shows in two numbers, the character in one of the others."""
    random = np.random.default_rng(0)
    character = np.arange(288) % 36
    truth = character % 3
    style = np.eye(3)[truth] + random.normal(0, 0.4, (288, 3))
    content = 2 * np.eye(36)[character]
    groups = character.astype(str)
    right = {}
    for name, rows in {"style": np.hstack([style, content]), "content": content}.items():
        said = np.zeros((288, 3))
        for fold in folds.folds(truth, groups, 4):
            said[fold.asked] = rule(rows.astype(np.float32), truth, groups, fold)  # type: ignore[operator]
        np.testing.assert_allclose(said.sum(axis=1), 1)
        right[name] = float((said.argmax(axis=1) == truth).mean())
    assert right["style"] > 0.7
    assert right["content"] < 0.45


def test_a_drawing_gets_worse_by_degrees_and_is_grey() -> None:
    frame = np.full((120, 90, 3), 250, np.uint8)
    frame[30:90, 44:47] = (200, 20, 30)
    frame[58:61, 10:80] = 20
    worse = [degrade.degrade(frame, grade, np.random.default_rng(3)) for grade in range(5)]
    change = [float(np.abs(one.astype(float) - worse[0]).mean()) for one in worse]
    assert change == sorted(change)
    assert change[1] > 0
    assert all((one[..., 0] == one[..., 2]).all() and one.shape == frame.shape for one in worse)
    assert (worse[3] == degrade.degrade(frame, 3, np.random.default_rng(3))).all()


def test_a_class_that_is_not_known_is_named() -> None:
    with pytest.raises(InvalidInput, match="'rin'"):
        numbered(["saber", "rin"], ["saber"], "Head characters")
