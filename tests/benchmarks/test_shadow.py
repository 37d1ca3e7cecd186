"""What a trial costs uploads: the arithmetic of the report, and that the arm with a trial really has one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from unittest.mock import MagicMock

import pytest
from django.core.management import CommandError
from PIL import Image

from booru_ml import registry
from booru_ml.benchmarks import shadow
from booru_ml.benchmarks.board import Board
from booru_ml.benchmarks.samples import Posts
from booru_ml.benchmarks.shadow import Round
from booru_ml.checkpoint import Checkpoint
from booru_ml.models import AnalysisJob, Shadow, ShadowLook
from booru_ml.pipeline import hooks

ABSENT = [Round(20.0, [0.1, 0.1]), Round(10.0, [0.2, 0.2]), Round(20.0, [0.1, 0.1])]
PRESENT = [
    Round(18.0, [0.11, 0.11], looked=0.5, pss_mib=200),
    Round(9.5, [0.2, 0.4], looked=0.7, pss_mib=210),
    Round(10.0, [0.1, 0.1], looked=0.1, pss_mib=205),
]


def test_ratios_are_of_the_same_round() -> None:
    told = shadow.report(ABSENT, PRESENT)
    assert (told["absent_img_s"], told["present_img_s"]) == (20, 10)
    assert told["ratio_img_s"] == 0.9  # of 0.9, 0.95 and 0.5
    assert told["ratio_p50"] == 1.1  # of 1.1, 1.5 and 1
    assert told["present_p95_s"] > told["absent_p95_s"] >= told["absent_p50_s"] == 0.1
    assert told["ratio_p95"] == pytest.approx(told["present_p95_s"] / told["absent_p95_s"], rel=0.01)
    assert (told["looked_share"], told["trial_pss_mib"]) == (0.5, 210)


@pytest.fixture
def unheard() -> Iterator[None]:
    """The board's saves, as on a measurement's stage."""
    hooks.disconnect()
    yield
    hooks.connect()


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("media", "unheard")
def test_a_trial_of_the_twin_judges_the_pictures_of_its_round(tmp_path: Path, monkeypatch) -> None:
    def analysed(board: Board, jobs: list[int], check: object, poll: float = 0) -> None:
        AnalysisJob.objects.filter(pk__in=jobs).update(state=AnalysisJob.State.DONE)

    monkeypatch.setattr("booru_ml.pipeline.doorbell.ring", lambda: None)
    monkeypatch.setattr(Board, "wait", analysed)
    monkeypatch.setattr(Board, "clear", lambda *_: None)
    Image.effect_noise((160, 120), 40).convert("RGB").save(tmp_path / "noise.png")
    board = Board(Posts(), [tmp_path / "noise.png"] * shadow.FIRST)
    twin = shadow.register(Checkpoint.load(shadow.twin(tmp_path)))
    uploads = shadow.Uploads(board, MagicMock(), singles=1)
    assert uploads.absent().looked == 0
    found = uploads.present(twin.version, tmp_path / "log")
    assert 0 <= found.looked <= 1
    assert found.pss_mib > 50
    trial = Shadow.objects.get()
    assert (trial.candidate, trial.state) == (twin, Shadow.State.ENDED)
    judged = ShadowLook.objects.filter(shadow=trial)
    assert judged.count() >= shadow.FIRST
    for look in judged:
        assert look.active_version == registry.pipeline_version()
        # The same weights say the same of the tasks that they have.
        assert {tuple(said) for said in look.candidate_said} <= {tuple(said) for said in look.active_said}
        assert look.candidate_seconds > 0


@pytest.mark.django_db
def test_a_candidate_that_fails_ends_the_measurement(tmp_path: Path) -> None:
    twin = shadow.register(Checkpoint.load(shadow.twin(tmp_path)))
    row = Shadow.objects.create(candidate=twin, share=1.0, fault="RuntimeError: index out of range")
    with pytest.raises(CommandError, match="index out of range"):
        shadow.Trial(row).wait(1, lambda: None)
