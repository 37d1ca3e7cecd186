"""Findings, matches, users and posts for the tests of tagging."""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import sha256
from itertools import count
from typing import Any

import numpy as np

from booru_ml.models import AnalysisJob
from booru_ml.types import Analysis, Category, Finding, Refusal, Scores
from deploy.demo.board.models import Post
from embeddings.types import Match
from tagging.models import Suggestion
from tests.people import user

_numbers = count(1)


def scores(head: str, said: Mapping[str, float], category: Category | Mapping[str, Category], model: str) -> Scores:
    kinds = category if isinstance(category, Mapping) else dict.fromkeys(said, category)
    return Scores(head, tuple(said), tuple(kinds[label] for label in said), np.array(list(said.values()), "f4"), model)


def finding(
    *,
    tags: Mapping[str, float] | None = None,
    categories: Mapping[str, Category] | None = None,
    rating: Mapping[str, float] | None = None,
    quality: Mapping[str, float] | None = None,
    medium: Mapping[str, float] | None = None,
    model: str = "net@000000000001",
) -> Finding:
    kinds = dict.fromkeys(tags or {}, Category.GENERAL) | dict(categories or {})
    given = {
        "tags": (tags, kinds),
        "rating": (rating, Category.RATING),
        "quality": (quality, Category.QUALITY),
        "medium": (medium, Category.META),
        "nsfw": ({"hentai": 0.99, "porn": 0.99}, Category.META),
    }
    heads = {head: scores(head, said, kind, model) for head, (said, kind) in given.items() if said}
    return Finding(np.ones(4, "f4") / 2, np.ones(2, "f4"), (), heads, "lite0@000000000001")


def match(name: str, probability: float = 0.9, **others: Any) -> Match:
    facts = {
        "subject_id": 1,
        "category": Category.CHARACTER,
        "similarity": 0.8,
        "margin": 1.5,
        "support_count": 5,
        "known": True,
        "nearest_post_ids": (3, 4),
        "gallery_revision": 7,
    }
    return Match(name=name, probability=probability, **(facts | others))


def moderator() -> Any:
    return user("booru_tagging.decide_suggestion")


def post(uploader: Any = None, **others: Any) -> Post:
    number = next(_numbers)
    digest = sha256(str(number).encode()).hexdigest()
    return Post.objects.create(
        uploader=uploader or user(), sha256=digest, md5=digest[:32], picture=f"posts/{number}.png", **others
    )


def suggestion(on: Post, name: str = "long_hair", category: str = "general", **others: Any) -> Suggestion:
    facts = {"score": 0.9, "source": "model", "model_version": "net@000000000001"} | others
    row = Suggestion.objects.create(post=on, name=name, category=category, **facts)
    row.refresh_from_db()
    return row


def job(on: Post, **others: Any) -> AnalysisJob:
    return AnalysisJob.objects.create(post=on, content_key=on.sha256, pipeline_version="p", **others)


def analysis(on: Post, found: Finding | None, *, job_id: int = 1, refusal: Refusal | None = None) -> Analysis:
    return Analysis(job_id, on.pk, "p", on.sha256, 64, 64, 1, found, refusal)
