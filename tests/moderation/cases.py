"""What has become of a case, and suggestions for its post."""

from __future__ import annotations

from typing import Any

from deploy.demo.board.models import Post
from moderation.models import Case
from tagging.models import Suggestion


def status(case: Case) -> str:
    return Post.objects.get(pk=case.post_id).status


def suggest(
    case: Case, name: str = "long_hair", category: str = "general", score: float = 0.9, **others: Any
) -> Suggestion:
    facts = {"source": "model", "model_version": "net@1"} | others
    return Suggestion.objects.create(post_id=case.post_id, name=name, category=category, score=score, **facts)
