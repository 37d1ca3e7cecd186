from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest

from tagging import board, services, thresholds
from tagging.rules import Thresholds


@dataclass
class FakeGallery:
    """Stands for ``embeddings.services``; ``tests/tagging/test_gallery.py`` holds the real one to the same promises."""

    matches: dict[Any, tuple[Any, ...]] = field(default_factory=dict)
    lessons: dict[int, tuple[Any, ...]] = field(default_factory=dict)

    def recognise_all(self, analyses: Any) -> list[tuple[Any, ...]]:
        return [self.matches.get(analysis.post_id, ()) for analysis in analyses]

    def rematch(self, post_ids: Any) -> dict[Any, tuple[Any, ...]]:
        return {post_id: self.matches[post_id] for post_id in post_ids if post_id in self.matches}

    def active_version(self) -> str:
        return "lite0@000000000001"

    def learn(
        self,
        *,
        post_id: Any,
        name: str,
        category: str,
        positive: bool,
        actor: Any,
        face: int | None = None,
        weight: float = 1.0,
    ) -> int | None:
        number = len(self.lessons) + 100
        self.lessons[number] = (post_id, name, str(category), positive)
        return number

    def unlearn(self, *, support_id: int) -> bool:
        return self.lessons.pop(support_id, None) is not None


@pytest.fixture
def gallery(monkeypatch: pytest.MonkeyPatch) -> FakeGallery:
    fake = FakeGallery()
    monkeypatch.setattr(board, "embeddings", fake)
    monkeypatch.setattr(services, "embeddings", fake)
    return fake


@pytest.fixture
def bars(monkeypatch: pytest.MonkeyPatch) -> None:
    """Default thresholds, without reading the bundled checkpoints."""
    monkeypatch.setattr(thresholds, "current", Thresholds)
