"""Posts on the reference board, moderators, and checkpoints that need not be there."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from hashlib import sha256
from itertools import count
from typing import Any

import pytest

from booru_ml.types import Analysis
from deploy.demo.board.models import Post
from embeddings import services as embeddings
from embeddings import similar
from moderation import services, thresholds
from moderation.models import Case
from tagging.rules import Thresholds
from tests.people import user

_numbers = count(1)


@pytest.fixture
def uploader(db: None) -> Any:
    return user(name="uploader")


@pytest.fixture
def moderator(db: None) -> Any:
    return user("booru_moderation.decide_case", "booru_tagging.decide_suggestion", name="mira", is_staff=True)


@pytest.fixture
def colleague(db: None) -> Any:
    return user("booru_moderation.decide_case", name="cole", is_staff=True)


@pytest.fixture
def post(uploader: Any) -> Callable[..., Post]:
    def make(**others: Any) -> Post:
        number = next(_numbers)
        digest = sha256(str(number).encode()).hexdigest()
        facts = {"uploader": uploader, "sha256": digest, "md5": digest[:32], "picture": f"posts/{number}.png"} | others
        return Post.objects.create(**facts)

    return make


@pytest.fixture(autouse=True)
def own_index(monkeypatch: pytest.MonkeyPatch) -> None:
    """An index that holds no rows of other tests, which were rolled back since and cost looks in vain."""
    monkeypatch.setattr(similar, "spaces", similar.Spaces())


@pytest.fixture(autouse=True)
def own_thresholds(monkeypatch: pytest.MonkeyPatch) -> None:
    """The rules' own thresholds: the bundled checkpoints are other tests' business."""
    from moderation import rules

    monkeypatch.setattr(thresholds.checkpoints, "current", Thresholds)
    monkeypatch.setattr(
        thresholds, "calibration", lambda model, kind: type("Twin", (), {"twin": rules.THRESHOLDS["duplicate"]})
    )


@pytest.fixture
def triage(db: None) -> Callable[[Sequence[Analysis]], None]:
    """Analyses through the sinks before moderation's, then ours."""

    def run(analyses: Sequence[Analysis]) -> None:
        embeddings.remember(analyses)
        services.triage(analyses)

    return run


@pytest.fixture
def case(post: Callable[..., Post], triage: Callable[..., None]) -> Callable[..., Case]:
    """A case of a fresh post; ``heads`` as in ``findings.analysis``, the rest are the post's columns."""
    from .findings import analysis

    def make(heads: Any = None, **others: Any) -> Case:
        made = post(**others)
        triage([analysis(made.pk, heads, sha256=made.sha256)])
        return Case.objects.get(post=made)

    return make
