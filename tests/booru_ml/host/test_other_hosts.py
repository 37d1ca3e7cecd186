"""The plugin on boards that are not ours, each in a process of its own with its own settings and migrations."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
HOSTS = ("uuidboard", "nautboard")
SUITES = {"uuidboard": [], "nautboard": ["tests/hosts/nautboard/order.py"]}


def run(host: str, *command: str, tmp_path: Path) -> str:
    environment = {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": f"tests.hosts.{host}.settings",
        "BOORU_TEST_HOME": str(tmp_path),
        "PYTEST_ADDOPTS": "",
    }
    done = subprocess.run(
        [sys.executable, *command], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=150, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize("host", HOSTS)
def test_adapter_keeps_the_contract(host, tmp_path):
    command = ["-m", "pytest", "tests/contracts/test_host_board.py", *SUITES[host]]
    out = run(host, *command, f"--ds=tests.hosts.{host}.settings", "-q", "-p", "no:cacheprovider", tmp_path=tmp_path)
    assert " passed" in out


@pytest.mark.parametrize("host", HOSTS)
def test_checks_and_migrations_are_clean(host, tmp_path):
    assert "no issues" in run(host, "manage.py", "check", "--fail-level", "WARNING", tmp_path=tmp_path)
    assert "No changes" in run(host, "manage.py", "makemigrations", "--check", "--dry-run", tmp_path=tmp_path)
