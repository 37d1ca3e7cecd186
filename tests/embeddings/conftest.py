from __future__ import annotations

from types import SimpleNamespace

import pytest

from embeddings import calibration, gallery, similar
from embeddings.prototypes import Calibration
from tests.embeddings.factories import VERSION


@pytest.fixture(autouse=True)
def encoder(monkeypatch: pytest.MonkeyPatch) -> None:
    """The active checkpoint is that of the factories, with the default calibration."""
    constants = Calibration(level=0.0, spread=0.12, drift=0.02, score=0.6, margin=1.0, bias=-4.0)
    spaces = (VERSION, dict.fromkeys(["picture", "face", "style"], constants))
    monkeypatch.setattr(calibration.registry, "in_force", lambda: SimpleNamespace(checkpoints=()))
    monkeypatch.setattr(calibration, "_spaces", lambda checkpoints: spaces)


@pytest.fixture(autouse=True)
def fresh_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """No arrays left from another test."""
    monkeypatch.setattr(gallery, "room", gallery.Room())
    monkeypatch.setattr(similar, "spaces", similar.Spaces())
