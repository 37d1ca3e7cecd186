"""What is promoted speaks, at once and everywhere; what cannot be is refused before anything changes."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import threading
from functools import partial
from pathlib import Path

import pytest
from django.contrib.auth import get_user_model
from django.core.management import CommandError, call_command
from django.db import connection
from django.db.models.functions import Now

from booru_ml import promotions, registry
from booru_ml.checkpoint import Checkpoint, pin
from booru_ml.conf import CHECKPOINTS
from booru_ml.errors import BooruError, CheckpointError, StaleState
from booru_ml.models import AnalysisJob, Backfill, ModelVersion, Promotion
from booru_ml.pipeline import feeder, orders
from booru_ml.pipeline.backfill import Order
from tests.threads import together

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("promotions")]
State, Priority = AnalysisJob.State, AnalysisJob.Priority


def speakers() -> dict[str, str]:
    return {task: item.version for item in registry.look().checkpoints for task in item.tasks if item.gives(task)}


# --- The verbs


def test_a_promoted_model_takes_its_tasks_and_the_settings_keep_the_rest(candidate):
    before, version, new = speakers(), registry.pipeline_version(), candidate()
    promotions.promote(version=new.version, tasks=["rating"], reanalyse=False)
    assert speakers() == before | {"rating": new.version}
    assert registry.pipeline_version() != version
    promotions.promote(version=new.version, reanalyse=False)
    assert speakers() == before | dict.fromkeys(("rating", "medium", "nsfw"), new.version)
    assert speakers()["embedding"].startswith("booru-lite@")
    assert "nsfwjs" not in {item.path.parent.name for item in registry.look().checkpoints}


def test_the_history_says_who_did_what_and_rolls_back_step_by_step(candidate, capsys):
    moderator = get_user_model().objects.create_user("mod")
    versions = [registry.pipeline_version()]
    for least, tasks in ((0.91, "rating"), (0.92, "rating"), (0.93, "medium")):
        promotions.promote(version=candidate(least).version, tasks=[tasks], actor=moderator, note="better")
        versions.append(registry.pipeline_version())
    assert len(set(versions)) == 4
    for expected in versions[-2::-1]:
        call_command("booru_model", "rollback", "--by", "mod", "--no-reanalyse")
        assert registry.pipeline_version() == expected
    with pytest.raises(StaleState, match="nothing to roll back"):
        promotions.rollback()
    assert set(Promotion.objects.values_list("actor__username", flat=True)) == {"mod"}
    assert list(Promotion.objects.order_by("pk").values_list("verb", flat=True)) == ["promote"] * 3 + ["rollback"] * 3
    call_command("booru_model", "history")
    assert capsys.readouterr().out.count("by mod") >= 6


def damaged(row: ModelVersion) -> None:
    path = Path(row.folder) / "model.safetensors"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)


def exchanged(row: ModelVersion) -> None:
    from booru_ml.checkpoint import pin

    (Path(row.folder) / "thresholds.csv").write_text("threshold\n0.5\n")
    pin(row.folder)


@pytest.mark.parametrize(
    ("harm", "why"),
    [
        (damaged, "differs from its sum"),
        (exchanged, "by now"),
        (lambda row: shutil.rmtree(row.folder), "no folder"),
        (lambda row: ModelVersion.objects.update(verified_at=None), "never seen to run"),
        (lambda row: row.delete(), "No model"),
    ],
)
def test_a_broken_candidate_is_refused_before_anything_changes(candidate, harm, why):
    row, before = candidate(), registry.pipeline_version()
    version = row.version
    harm(row)
    with pytest.raises(BooruError, match=why):
        promotions.promote(version=version)
    assert (registry.pipeline_version(), Promotion.objects.count(), Backfill.objects.count()) == (before, 0, 0)


def test_a_head_that_it_does_not_have_is_named(candidate):
    with pytest.raises(BooruError, match="no tags; it can be promoted for medium, nsfw, rating"):
        promotions.promote(version=candidate().version, tasks=["tags"])


def test_a_folder_in_force_that_is_gone_is_told_with_what_else_is_registered(candidate, capsys):
    row, other = candidate(), candidate(0.8)
    promotions.promote(version=row.version, reanalyse=False)
    shutil.rmtree(row.folder)
    with pytest.raises(CommandError, match="rollback"):
        call_command("booru_model", "list")
    assert other.version in capsys.readouterr().out


def test_vectors_that_nobody_calibrated_are_promoted_with_a_warning(tmp_path, capsys):
    target = tmp_path / "lite0"
    shutil.copytree(CHECKPOINTS / "lite0", target)
    config = json.loads((target / "config.json").read_text())
    del config["booru"]["recognition"]
    (target / "config.json").write_text(json.dumps(config))
    pin(target)
    item = Checkpoint.read(target)
    ModelVersion.objects.create(**registry.described(item), verified_at=Now())
    call_command("booru_model", "promote", item.version, "--tasks", "quality")
    assert "is a guess" not in capsys.readouterr().out
    call_command("booru_model", "promote", item.version, "--dry-run")
    assert "is a guess" in capsys.readouterr().out


def test_of_two_promotions_at_once_one_is_told_to_look_again(candidate, monkeypatch):
    both = threading.Barrier(2, timeout=20)
    plan = promotions._plan

    def meet(*args):
        found = plan(*args)
        both.wait()
        return found

    monkeypatch.setattr(promotions, "_plan", meet)
    versions = [candidate(least).version for least in (0.91, 0.92)]
    said = together(*(partial(promotions.promote, version=version) for version in versions))
    assert sorted(type(item).__name__ for item in said) == ["Promotion", "StaleState"]
    assert Promotion.objects.count() == Backfill.objects.count() == 1


def test_killed_in_the_middle_a_promotion_has_not_happened(candidate):
    before, row = registry.pipeline_version(), candidate()
    program = (
        "import django, os, signal; django.setup()\n"
        "from django.conf import settings\n"
        f"settings.DATABASES['default']['NAME'] = {str(connection.settings_dict['NAME'])!r}\n"
        "from booru_ml import promotions\n"
        "from booru_ml.models import Promotion\n"
        "from booru_ml.pipeline import orders\n"
        "def die():\n"
        "    assert Promotion.objects.count() == 1\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
        "orders.begin_anew = die\n"
        f"promotions.promote(version={row.version!r})\n"
    )
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, timeout=60)
    assert ended.returncode == -signal.SIGKILL, ended.stderr.decode()
    assert registry.pipeline_version() == before
    assert not Promotion.objects.exists()
    promotions.promote(version=row.version)


# --- Old posts


def test_old_posts_are_looked_at_again_and_again_after_a_rollback(candidate, upload):
    old = registry.pipeline_version()
    posts = [upload() for _ in range(3)]
    AnalysisJob.objects.update(pipeline_version=old, state=State.DONE, finished_at=Now())
    row = promotions.promote(version=candidate().version)
    assert Backfill.objects.get().state == Backfill.State.RUNNING
    feeder.feed(seconds=5)
    asked = AnalysisJob.objects.filter(pipeline_version=row.pipeline_version)
    assert set(asked.values_list("post_id", flat=True)) == {post.pk for post in posts}
    first, *_ = asked
    AnalysisJob.objects.filter(pk=first.pk).update(state=State.DONE, finished_at=Now())
    asked.exclude(pk=first.pk).delete()
    promotions.rollback()
    feeder.feed(seconds=5)
    waiting = AnalysisJob.objects.filter(state=State.QUEUED)
    assert list(waiting.values_list("post_id", "pipeline_version")) == [(first.post_id, old)]


def test_whoever_has_not_heard_of_a_promotion_yet_does_not_end_its_backfill(candidate, upload, unheard):
    upload()
    AnalysisJob.objects.update(pipeline_version=registry.pipeline_version(), state=State.DONE, finished_at=Now())
    row = unheard(candidate())
    feeder.feed(seconds=5)
    assert AnalysisJob.objects.filter(pipeline_version=row.pipeline_version, state=State.QUEUED).count() == 1


def test_no_reanalyse_leaves_old_posts_alone_and_another_backfill_is_not_pushed_aside(candidate):
    row = candidate()
    orders.begin(Order(limit=5))
    with pytest.raises(StaleState, match="--limit 5"):
        promotions.promote(version=row.version)
    assert not Promotion.objects.exists()
    promotions.promote(version=row.version, reanalyse=False)
    assert Backfill.objects.get().limit == 5


def test_thresholds_and_spaces_are_those_of_the_networks_that_run(candidate):
    from embeddings.calibration import active_version
    from tagging import thresholds

    row, former = candidate(), registry.look()
    promotions.promote(version=row.version, reanalyse=False)
    assert row.version in thresholds.current().checkpoints
    registry.use(former)
    assert row.version not in thresholds.current().checkpoints
    assert active_version() == former.checkpoints[0].version


def test_a_folder_that_was_exchanged_after_its_promotion_is_not_used(candidate):
    row = candidate()
    promotions.promote(version=row.version, reanalyse=False)
    exchanged(row)
    with pytest.raises(CheckpointError, match="was promoted"):
        registry.pipeline_version()
    assert Checkpoint.load(row.folder).version != row.version
