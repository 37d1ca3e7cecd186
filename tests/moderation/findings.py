"""Analyses as the pipeline would hand them over, built from a few words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from booru_ml.types import Analysis, Box, Category, Face, Finding, PostFacts, Rating, Refusal, Scores, TagRef

MODEL = "nsfwjs@0123456789ab"
_CATEGORIES = {
    "rating": Category.RATING,
    "medium": Category.META,
    "nsfw": Category.META,
    "quality": Category.QUALITY,
    "tags": Category.GENERAL,
}

SAFE_ART: dict[str, dict[str, float]] = {
    "rating": {"g": 0.62, "s": 0.2, "q": 0.1, "e": 0.08},
    "medium": {"drawing": 0.97, "photo": 0.03},
    "nsfw": {"drawing": 0.66, "hentai": 0.29, "neutral": 0.02, "porn": 0.02, "sexy": 0.01},
    "quality": {"finished": 0.8, "sketch": 0.15, "rough": 0.04, "poor": 0.01},
}
PHOTO = {"medium": {"drawing": 0.02, "photo": 0.98}}


def scores(head: str, values: Mapping[str, float]) -> Scores:
    return Scores(
        head=head,
        labels=tuple(values),
        categories=(_CATEGORIES[head],) * len(values),
        values=np.array(list(values.values()), np.float32),
        model=MODEL,
    )


def unit(seed: int, size: int = 32) -> np.ndarray:
    vector = np.random.default_rng(seed).normal(size=size).astype(np.float32)
    return vector / np.linalg.norm(vector)


def finding(heads: Mapping[str, Mapping[str, float]] | None = None, *, seed: int = 0, faces: int = 0) -> Finding:
    """Safe art, with ``heads`` in place of what differs."""
    said = {**SAFE_ART, **(heads or {})}
    boxes = [Box(0.1 + 0.3 * n, 0.1, 0.2, 0.2) for n in range(faces)]
    return Finding(
        embedding=unit(seed),
        style=unit(seed + 1000),
        faces=tuple(Face(box, 0.9, unit(seed + 2000 + n)) for n, box in enumerate(boxes)),
        scores={head: scores(head, values) for head, values in said.items() if values},
        embedding_model="lite0@0123456789ab",
    )


def analysis(
    post_id: Any,
    heads: Mapping[str, Mapping[str, float]] | None = None,
    *,
    sha256: str = "a" * 64,
    seed: int | None = None,
    refusal: Refusal | None = None,
) -> Analysis:
    return Analysis(
        job_id=1,
        post_id=post_id,
        pipeline_version="test",
        sha256=sha256,
        width=900,
        height=1200,
        frame_count=1,
        finding=None if refusal else finding(heads, seed=hash(post_id) % 9973 if seed is None else seed),
        refusal=refusal,
    )


def facts(post_id: Any = 1, *, rating: Rating | None = Rating.GENERAL, status: str = "pending") -> PostFacts:
    return PostFacts(
        id=post_id,
        tags=frozenset({TagRef("1girl")}),
        rating=rating,
        source="",
        uploader_id=1,
        status=status,
        url=f"/posts/{post_id}/",
        picture_url="/p.png",
        thumbnail_url="/t.png",
    )
