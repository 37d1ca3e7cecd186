from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace

import pytest
from django.test import Client

from embeddings import calibration, gallery, similar
from embeddings.chances import Calibration
from tests.embeddings.factories import VERSION
from tests.embeddings.milvus import EmbeddedMilvus
from tests.people import staff_client


@pytest.fixture(scope="session")
def milvus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedMilvus]:
    pytest.importorskip("milvus_lite")
    with EmbeddedMilvus(tmp_path_factory.mktemp("milvus") / "data") as server:
        yield server


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


@pytest.fixture
def staff(db: None) -> Client:
    """Somebody who may enrol."""
    return staff_client("booru_embeddings.enrol_subject")


@pytest.fixture
def looks_every_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Changes of the gallery are seen at once."""
    for name in ("LOOK_SECONDS", "GROWN_SECONDS"):
        monkeypatch.setattr(gallery, name, 0.0)
    monkeypatch.setattr(gallery, "TOGETHER_SECONDS", -1.0)
