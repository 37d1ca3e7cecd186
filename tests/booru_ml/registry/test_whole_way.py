"""A stranger's folder becomes a model in force: added, tried in shadow, promoted, rolled back; all by the commands."""

from __future__ import annotations

import io
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from django.core.management import CommandError, call_command
from django.db.models.functions import Now
from PIL import Image

from booru_ml import registry
from booru_ml.checkpoint import pin
from booru_ml.models import AnalysisJob, ModelVersion, ShadowLook
from booru_ml.nn.routes import ROUTES, Route

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("promotions")]


@pytest.fixture
def models_dir(settings, tmp_path, monkeypatch):
    """An empty shelf; to be seen to run by the graph alone is enough here."""
    monkeypatch.setattr("booru_ml.nn.verification.torch_installed", lambda: False)
    monkeypatch.setitem(ROUTES, "openvino", Route(name="openvino", packages=("not_installed",), graph=True))
    settings.BOORU_ML = {**settings.BOORU_ML, "MODELS_DIR": str(tmp_path / "models")}
    return tmp_path / "models"


def test_added_tried_promoted_and_rolled_back(models_dir, folder, upload, capsys, monkeypatch):
    monkeypatch.setattr("tagging.management.commands.booru_shadow.stand_back", lambda: None)
    before = registry.pipeline_version()
    call_command("booru_model", "add", str(folder()))
    row = ModelVersion.objects.get(verified_at__isnull=False)
    assert row.folder.startswith(str(models_dir))
    assert f"promote {row.version}" in capsys.readouterr().out

    call_command("booru_shadow", "begin", "nsfwjs@", "--share", "1")
    png = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (80, 60, 3), np.uint8)).save(png, "PNG")
    upload(png.getvalue())
    AnalysisJob.objects.update(state=AnalysisJob.State.DONE, finished_at=Now())
    call_command("booru_shadow", "run", "--once")
    look = ShadowLook.objects.get()
    assert all("rating" in {kind for kind, *_ in said} for said in (look.candidate_said, look.active_said))
    capsys.readouterr()
    call_command("booru_shadow", "report", "--json")
    lines = {line["category"]: line for line in json.loads(capsys.readouterr().out)["lines"]}
    assert lines["rating"]["agreement"] == 1.0  # The same weights under other thresholds.
    call_command("booru_shadow", "end")

    call_command("booru_model", "promote", row.version, "--tasks", "rating", "--dry-run")
    assert registry.pipeline_version() == before
    call_command("booru_model", "promote", row.version, "--tasks", "rating", "--note", "on trial for a day")
    assert registry.pipeline_version() != before
    call_command("booru_model", "rollback")
    assert registry.pipeline_version() == before


def test_the_list_says_which_registered_folder_is_gone_or_another(models_dir, folder, capsys):
    for least in (0.7, 0.8, 0.9):
        call_command("booru_model", "add", str(folder(least)))
    gone, edited, good = (Path(row.folder) for row in ModelVersion.objects.order_by("id"))
    ModelVersion.objects.create(version="once@1", name="once", folder="/seen/in/use/once")
    shutil.rmtree(gone)
    (edited / "thresholds.csv").write_text("threshold\n0.1\n")
    capsys.readouterr()
    call_command("booru_model", "list")
    said = capsys.readouterr().out
    assert f"{gone}: is no folder" in said
    assert f"{edited}: thresholds.csv differs" in said
    assert str(good) not in said
    assert "/once:" not in said
    pin(edited)
    call_command("booru_model", "list")
    assert f"{edited} holds nsfwjs@" in capsys.readouterr().out


def test_what_does_not_run_is_not_registered(models_dir, folder):
    source = folder()
    data = bytearray((source / "heads.safetensors").read_bytes())
    data[-4:] = b"\xff\xff\xff\x7f"  # not a number
    (source / "heads.safetensors").write_bytes(data)
    pin(source)
    with pytest.raises(CommandError, match=r"not finite|disagree|was not made from"):
        call_command("booru_model", "add", str(source))
    assert not ModelVersion.objects.exists()
    assert not [path for path in models_dir.rglob("*") if path.is_file()]
