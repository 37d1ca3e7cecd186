from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import pytest
from django.apps import apps
from django.core.checks import run_checks

import booru_ml.checks
from booru_ml.checks.values import LEAST
from booru_ml.conf import Config
from booru_ml.host.model_board import ModelBoard

HERE = Path(booru_ml.checks.__file__).parent
IDS = sorted(
    {number for file in HERE.glob("*.py") for number in re.findall(r"booru_ml\.([EW]\d{3})", file.read_text())}
)


class Half:
    def facts(self) -> None: ...


def found(settings, **changes) -> dict[str, str]:
    settings.BOORU_ML = {**settings.BOORU_ML, **changes}
    said: dict[str, str] = {}
    for message in run_checks(tags=["booru_ml"]):
        said[message.id] = f"{said.get(message.id, '')} {message.msg} {message.hint}"
    return said


def fields(settings, **changes) -> dict[str, str]:
    return {"FIELDS": {**settings.BOORU_ML["FIELDS"], **changes}}


def test_reference_board_is_sound(settings):
    assert found(settings) == {}


CASES = {
    "E001": [({"BATCHSIZE": 3}, "Did you mean BATCH_SIZE?")],
    "E002": [
        ({"BATCH_SIZE": "16"}, "'16'"),
        ({"AUTO_APPLY": "no"}, "'no'"),
        ({"FIELDS": ["picture"]}, "dictionary"),
        ({"CHECKPOINTS": "lite0"}, "tuple"),
        ({"POST_MODEL": None}, "str"),
    ],
    "E010": [
        ({"BATCH_SIZE": 0}, "at least 1"),
        ({"SETTLE_SECONDS": -1.0}, "at least 0"),
        ({"CLAIM_SECONDS": -5.0}, "at least 1"),
        ({"PAGE_SIZE": 500}, "MAX_PAGE_SIZE"),
    ],
    "E011": [
        ({"UNKNOWN_BELOW": 1.5}, "0 to 1"),
        ({"AUTO_APPLY_THRESHOLDS": {"character": 95}}, "95"),
        ({"TAG_THRESHOLDS": {"general": "high"}}, "high"),
    ],
    "E012": [
        ({"RATINGS": {"g": "safe"}}, "s, q, e"),
        ({"STATUSES": {"live": 1}}, "live"),
        ({"TAG_CATEGORIES": {"species": 2}}, "species"),
        ({"AUTO_APPLY_THRESHOLDS": {"rating": 0.9}}, "rating"),
    ],
    "E013": [({"BROKER_URL": "127.0.0.1:6379"}, "redis://"), ({"BROKER_URL": "http://a:secret@b["}, "redis://")],
    "E014": [({"THROTTLE_RATES": {"user": "often"}}, "60/min")],
    "E015": [
        ({"VECTOR_STORE": "http://milvus:19530"}, "milvus+http://"),
        ({"VECTOR_STORE": "milvus+http://a:secret@b["}, "milvus+http://"),
    ],
    "E020": [({"POST_MODEL": ""}, "POST_MODEL")],
    "E021": [({"POST_MODEL": "board.Picture"}, "INSTALLED_APPS"), ({"POST_MODEL": "Post"}, "app_label.Model")],
    "E022": [({"FIELDS": {}}, "picture"), ({"FIELDS": {"picture": "picture", "artist": "a"}}, "artist")],
    "E023": [({"FIELDS": {"picture": "image"}}, "Its fields are")],
    "E024": [({"FIELDS": {"picture": "picture", "tags": "uploader"}}, "ForeignKey")],
    "E025": [({"ADAPTER": "board.Missing"}, "dotted path")],
    "E026": [({"ADAPTER": "tests.booru_ml.test_checks.Half"}, "open_picture")],
    "E027": [
        ({"TAG_FIELDS": {"name": "title"}}, "title"),
        ({"TAG_FIELDS": {"category": "category"}}, "TAG_FIELDS"),
        ({"TAG_FIELDS": {"name": "name", "category": "category__label"}}, "label"),
    ],
    "E031": [({"RUNTIME": "tensorrt"}, "onnx"), ({"DEVICE": "gpu"}, "cuda")],
    "E033": [({"CHECKPOINTS": ()}, "empty")],
    "W001": [({"AUTO_APPLY": True}, "nothing will be applied")],
    "W031": [({"CHECKPOINTS": ("/nowhere",)}, "/nowhere")],
}


@pytest.mark.parametrize(
    ("number", "changes", "words"), [(number, *case) for number, cases in CASES.items() for case in cases]
)
def test_mistake_is_explained(settings, number, changes, words):
    messages = found(settings, **changes)
    assert words in messages[f"booru_ml.{number}"]


def test_every_number_of_the_setting_is_looked_at():
    numbers = {item.name for item in dataclasses.fields(Config) if item.type in ("int", "float")}
    assert numbers - LEAST.keys() == {"UNKNOWN_BELOW", "STRANGERS_NAMED"}, "these two are compared with a score (E011)"


def test_missing_apps_of_the_sinks(settings, monkeypatch):
    installed = apps.is_installed
    monkeypatch.setattr(apps, "is_installed", lambda name: name != "tagging" and installed(name))
    assert "INSTALLED_APPS" in found(settings)["booru_ml.E030"]


def test_sqlite_without_immediate_transactions(settings, monkeypatch):
    class Connection:
        vendor = "sqlite"
        settings_dict = {"OPTIONS": {}}

    monkeypatch.setattr("booru_ml.checks.machine.connections", {"default": Connection})
    assert "IMMEDIATE" in found(settings)["booru_ml.W030"]


def test_runtime_without_its_package(settings, monkeypatch):
    monkeypatch.setattr("booru_ml.checks.machine._installed", lambda package: package != "torch")
    assert "gpu" in found(settings, RUNTIME="torch")["booru_ml.E032"]


def test_two_packages_of_faiss_in_one_folder(settings, monkeypatch):
    monkeypatch.setattr("booru_ml.checks.machine.distributions", lambda name: [name])
    assert "--force-reinstall --no-deps faiss-gpu-cu12" in found(settings)["booru_ml.W033"]


class Folder:
    """A checkpoint as its folder describes it."""

    name, embedding_dim, has_onnx = "plain", None, False


def test_a_vector_store_without_its_package(settings, monkeypatch):
    monkeypatch.setattr("booru_ml.checks.values.find_spec", lambda name: None)
    assert "[milvus]" in found(settings, VECTOR_STORE="milvus+http://milvus")["booru_ml.E035"]


def test_checkpoints_without_embedding_or_graph(settings, monkeypatch):
    monkeypatch.setattr("booru_ml.checks.machine.Checkpoint.read", lambda folder: Folder)
    monkeypatch.setattr("booru_ml.checks.machine._installed", lambda package: package != "torch")
    assert "embedding" in found(settings)["booru_ml.E033"]
    assert "model.onnx" in found(settings)["booru_ml.W032"]
    assert "plain" in found(settings, RUNTIME="onnx")["booru_ml.E034"]


def test_password_of_the_broker_is_not_shown(settings):
    assert "secret" not in found(settings, BROKER_URL="http://user:secret@host/0")["booru_ml.E013"]


def test_own_adapter_needs_no_field_map(settings, monkeypatch):
    class Own:
        pass

    for name in ModelBoard.__dict__:
        if not name.startswith("_"):
            setattr(Own, name, lambda self: None)
    monkeypatch.setattr("tests.booru_ml.test_checks.Half", Own)
    assert found(settings, ADAPTER="tests.booru_ml.test_checks.Half", FIELDS={}) == {}


def test_every_id_is_tested_and_documented():
    alone = {"E030", "E032", "E034", "E035", "W030", "W032", "W033"}
    assert set(IDS) == set(CASES) | alone
    text = Path("docs/checks.md").read_text()
    assert [number for number in IDS if f"`booru_ml.{number}`" not in text] == []
