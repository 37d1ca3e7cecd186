"""Commands tell people what to do, not what Python thinks of it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command, get_commands, load_command_class
from django.db import OperationalError, ProgrammingError

from booru_ml.conf import CHECKPOINTS
from booru_ml.management.base import BooruCommand

ROOT = Path(__file__).parents[2]
VERBS = [
    *(f"booru_backfill {verb}".split() for verb in ("", "--status", "--dry-run", "--pause", "--resume", "--cancel")),
    ["booru_backfill", "--background"],
    ["booru_status"],
    ["booru_status", "--check"],
    ["booru_worker", "--once"],
    ["booru_model", "add", str(CHECKPOINTS / "nsfwjs")],
    ["booru_model", "pull", str(CHECKPOINTS / "nsfwjs")],
    ["booru_model", "promote", "lite0"],
    ["booru_model", "promote", "lite0", "--dry-run"],
    ["booru_model", "rollback"],
    ["booru_model", "history"],
    ["booru_shadow", "begin", "lite0"],
    ["booru_shadow", "run", "--once"],
    ["booru_shadow", "end"],
    ["booru_shadow", "report"],
    ["booru_export", "--out", "exported"],
    ["booru_resuggest"],
    ["booru_resuggest", "1"],
    ["booru_sweep"],
    ["booru_sweep", "someone"],
    ["booru_enrol", "someone", "--posts", "1", "2"],
    ["booru_reindex"],
]
SCRIPT = """
import json, sys, django
django.setup()
from django.core.management import CommandError, call_command
for verb in json.load(sys.stdin):
    try:
        call_command(*verb)
        said = "did it"
    except CommandError as error:
        said = str(error)
    except BaseException as error:
        said = repr(error)
    print(json.dumps(["SAID", verb, said]))
"""


def test_a_database_that_was_never_migrated_is_told_by_every_verb(tmp_path: Path) -> None:
    place = {"BOORU_HOME": str(tmp_path), "DATABASE_URL": f"sqlite:///{tmp_path / 'empty.sqlite3'}"}
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        input=json.dumps(VERBS),
        env={**os.environ, **place, "PYTHONPATH": str(ROOT), "DJANGO_SETTINGS_MODULE": "deploy.demo.settings"},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    said = [json.loads(line)[1:] for line in done.stdout.splitlines() if line.startswith('["SAID"')]
    assert [verb for verb, _ in said] == VERBS
    assert not [(verb, text) for verb, text in said if not text.endswith("Run manage.py migrate first.")]


def test_every_command_of_ours_explains_itself() -> None:
    ours = [name for name, app in get_commands().items() if name.startswith("booru_") and not app.startswith("deploy")]
    assert len(ours) > 10
    for name in ours:
        assert isinstance(load_command_class(get_commands()[name], name), BooruCommand), name


@pytest.mark.django_db
def test_a_database_that_cannot_now_is_told_and_a_wrong_statement_is_not_hidden(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(error: Exception) -> None:
        def raiser(*_: object, **__: object) -> None:
            raise error

        monkeypatch.setattr("booru_ml.pipeline.facts.queue_facts", raiser)

    fail(OperationalError("database is locked"))
    with pytest.raises(CommandError, match="The database cannot do this now: database is locked"):
        call_command("booru_status")
    fail(ProgrammingError("no such column"))
    with pytest.raises(ProgrammingError, match="no such column"):
        call_command("booru_status")


def test_a_library_does_not_tell_people_how_it_loads() -> None:
    """Those who import faiss to train would read six lines of JSON about instruction sets."""
    code = (
        "import logging.config; from booru_ml.logs import json_logging; "
        "logging.config.dictConfig(json_logging()); import faiss"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stderr == ""
