"""What has become of a case; suggestions for its post and faces in it."""

from __future__ import annotations

from typing import Any

from deploy.demo.board.models import Post
from embeddings.models import Vector
from embeddings.store import encode
from moderation.models import Case
from tagging.models import Suggestion

from .findings import unit


def status(case: Case) -> str:
    return Post.objects.get(pk=case.post_id).status


def suggest(
    case: Case, name: str = "long_hair", category: str = "general", score: float = 0.9, **others: Any
) -> Suggestion:
    facts = {"source": "model", "model_version": "net@1"} | others
    return Suggestion.objects.create(post_id=case.post_id, name=name, category=category, score=score, **facts)


def face(case: Case, number: int, box: tuple[float, float, float, float]) -> None:
    x, y, width, height = box
    Vector.objects.create(
        post_id=case.post_id,
        kind="face",
        number=number,
        model_version="lite0@0123456789ab",
        data=encode(unit(number)),
        box={"x": x, "y": y, "width": width, "height": height, "score": 0.9},
    )
