from __future__ import annotations

import io
from dataclasses import asdict, replace

import numpy as np
import pytest

from booru_ml.checkpoint import Checkpoint
from booru_ml.errors import InvalidInput
from embeddings import calibration, fitting, games
from embeddings.chances import Calibration
from embeddings.games import Labelled
from embeddings.management.commands import booru_calibrate
from tests.embeddings.factories import Artist, unit


def pictures(seed: int, *, classes: int = 24, each: int = 12, noise: float = 1.4) -> Labelled:
    """Classes of pictures in pairs that share a source."""
    draw = Artist(seed, noise)
    looks = [draw.character() for _ in range(classes)]
    labels = [f"character{number}" for number in range(classes) for _ in range(each)]
    vectors = np.stack([draw.picture(look) for look in looks for _ in range(each)])
    return games.normalised(vectors, labels, [f"{label}-{i // 2}" for i, label in enumerate(labels)])


@pytest.fixture(scope="module")
def fitted() -> Calibration:
    return fitting.fit([pictures(0)], games=10, method="exemplars").calibration


def test_strangers_are_measured(fitted):
    assert fitted.level == pytest.approx(0, abs=0.03)
    assert fitted.spread == pytest.approx(1 / 8, abs=0.03)


def test_evidence_speaks_for_its_subject_and_a_crowd_against_it(fitted):
    assert fitted.score >= 0
    assert fitted.margin >= 0
    assert fitted.score + fitted.margin > 0
    assert fitted.subjects <= 0.1


@pytest.mark.parametrize(("ways", "shots"), [(1, 5), (8, 5), (20, 5)])
def test_probabilities_hold_for_characters_never_seen(fitted, ways, shots):
    got = fitting.measure(pictures(1), fitted, ways=ways, shots=shots, least=0.5, games=40)
    assert got.ece < 0.12
    assert got.auroc > 0.9
    assert got.top1 > 0.85
    assert got.false_known < 0.25


def test_the_report_of_a_calibration_names_by_the_bar_that_the_settings_ask_for(fitted, settings):
    said = io.StringIO()
    command = booru_calibrate.Command(stdout=said)
    settings.BOORU_ML = {**settings.BOORU_ML, "UNKNOWN_BELOW": 1.0, "STRANGERS_NAMED": 0.05}
    rows = command._report("picture", [("unseen", pictures(1, classes=9))], fitted)
    assert f"named from a probability of {fitted.bar(0.05):.3g}" in said.getvalue()
    assert all(row["unknown"] < 0.5 for row in rows if row["shots"] == 5)


def test_a_class_from_one_source_is_not_played():
    one = pictures(0, classes=3)
    groups = np.where(one.labels == "character0", "the only one", one.groups)
    assert games.playable(replace(one, groups=groups)) == ["character1", "character2"]


def test_too_few_classes_are_refused():
    with pytest.raises(InvalidInput):
        fitting.fit([pictures(0, classes=1)])
    with pytest.raises(InvalidInput):
        fitting.measure(pictures(0, classes=3), Calibration(), ways=3, shots=1, least=0.5)


def test_the_twin_bar_lies_between_copies_and_others():
    draw = Artist()
    originals = np.stack([draw.character() for _ in range(100)])
    copies = np.stack([unit(vector + 0.1 * draw.character()) for vector in originals])
    assert 0.6 < fitting.twin_bar(originals, copies) <= 1


@pytest.mark.torch
def test_a_folder_of_somebody_elses_shape_keeps_its_heads_beside_a_calibration(fitted, tmp_path):
    pytest.importorskip("timm", reason="needs booru-ml[train]")
    from tests.booru_ml.nn.builders import SMALL, tagger

    tags = [("general", 9), ("sensitive", 9), ("questionable", 9), ("explicit", 9), ("1girl", 0), ("rin", 4)]
    before = tagger(tmp_path / "wd-small", SMALL, tags)
    assert before.recognition is None
    booru_calibrate._write(before.path, {"picture": asdict(fitted)})
    after = Checkpoint.load(before.path)
    assert after.heads == before.heads
    assert after.preprocess == before.preprocess
    assert calibration.of(after) == {"picture": fitted}
