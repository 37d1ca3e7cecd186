from __future__ import annotations

from collections.abc import Callable

import pytest
from django.db.models.functions import Now

from booru_ml.models import AnalysisJob
from booru_ml.pipeline.runner import Runner
from booru_ml.types import Analysis
from deploy.demo.board.models import Post
from tests.booru_ml.pipeline.fakes import VERSION, FakeDecoders, FakeEngine


@pytest.fixture
def heard() -> list[Analysis]:
    """What the runner told its sink."""
    return []


@pytest.fixture
def runner(heard: list[Analysis]) -> Runner:
    return Runner(FakeEngine(), FakeDecoders(), version=VERSION, batch_size=4, sinks=[heard.extend])


@pytest.fixture
def version(monkeypatch) -> list[str]:
    """What is promoted; a test may put another one in its place."""
    present = [VERSION]
    monkeypatch.setattr("booru_ml.registry.pipeline_version", lambda: present[0])
    return present


@pytest.fixture
def few_waiting(settings) -> None:
    settings.BOORU_ML = {**settings.BOORU_ML, "BACKFILL_WAITING": 5}


@pytest.fixture
def old_posts(upload, rings) -> Callable[[int], list[Post]]:
    """Posts that an older version analysed."""

    def make(count: int) -> list[Post]:
        posts = [upload() for _ in range(count)]
        AnalysisJob.objects.filter(post__in=posts).update(
            state=AnalysisJob.State.DONE, pipeline_version="older@1", finished_at=Now(), started_at=Now()
        )
        return posts

    return make
