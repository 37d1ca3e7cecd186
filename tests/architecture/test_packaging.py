"""What the default install brings, and what the repository may hold."""

from __future__ import annotations

import re
import subprocess
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[2]
COPYLEFT = re.compile(r"\b(A?GPL|LGPL|GNU|MPL|EUPL|CDDL|SSPL)\b", re.IGNORECASE)
TOP_LEVEL = {
    "manage.py", "pyproject.toml", "booru_ml", "tagging", "moderation", "embeddings", "tests", "deploy",
    "README.md", "LICENSE", "NOTICE", "CHANGELOG.md", "CONTRIBUTING.md", "Makefile", "docs", ".ci", ".gitignore",
    ".pre-commit-config.yaml",
}  # fmt: skip


def closure(name: str, extras: frozenset[str]) -> set[str]:
    """Every distribution that installing ``name[extras]`` brings."""
    seen: set[tuple[str, frozenset[str]]] = set()
    todo = [(canonicalize_name(name), extras)]
    while todo:
        item = todo.pop()
        if item in seen:
            continue
        seen.add(item)
        for text in metadata.requires(item[0]) or []:
            requirement = Requirement(text)
            marker = requirement.marker
            if marker is None or any(marker.evaluate({"extra": extra}) for extra in (item[1] or {""})):
                todo.append((canonicalize_name(requirement.name), frozenset(requirement.extras)))
    return {found for found, _ in seen}


@pytest.fixture(scope="module")
def default_install() -> set[str]:
    return closure("booru-ml", frozenset({"demo"}))


def test_the_default_install_carries_no_training_stack(default_install: set[str]) -> None:
    assert {"django", "celery", "onnxruntime", "faiss-cpu"} <= default_install
    assert default_install.isdisjoint({"torch", "torchvision", "timm", "triton", "openvino", "scikit-learn"})


def test_the_default_install_is_free_of_copyleft(default_install: set[str]) -> None:
    licences = {}
    for name in default_install:
        about = metadata.metadata(name)
        trove = [text for text in about.get_all("Classifier") or [] if text.startswith("License")]
        licences[name] = f"{about.get('License-Expression') or ''} {(about.get('License') or '')[:80]} {trove}"
    assert {name: text for name, text in licences.items() if COPYLEFT.search(text)} == {}


def tracked() -> list[Path]:
    done = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True)
    if done.returncode:
        pytest.skip("not a git checkout")
    return [ROOT / line for line in done.stdout.splitlines() if (ROOT / line).is_file()]


def test_the_top_level_holds_the_apps_and_nothing_else() -> None:
    assert {path.relative_to(ROOT).parts[0] for path in tracked()} <= TOP_LEVEL


def test_no_file_names_a_registry_or_one_machine() -> None:
    pattern = re.compile(r"index-url|files\.pythonhosted|https?://[^\s/]*/simple|[\"' =]/(work|root)/")
    found = []
    for path in tracked():
        if path == Path(__file__) or path.suffix in {".safetensors", ".onnx", ".png", ".webp", ".jpg", ".bin"}:
            continue
        text = path.read_text(encoding="utf-8", errors="ignore")
        found += [f"{path.relative_to(ROOT)}: {match.group()}" for match in pattern.finditer(text)]
    assert found == []


def test_migrations_are_one_line_per_app() -> None:
    from django.db.migrations.loader import MigrationLoader

    graph = MigrationLoader(None).graph
    for app in ("booru_ml", "booru_embeddings", "booru_tagging", "booru_moderation", "board"):
        assert len(graph.leaf_nodes(app)) == 1
