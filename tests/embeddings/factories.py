"""Posts, users and synthetic pictures for the tests of this app."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256
from itertools import count
from typing import Any

import numpy as np
from django.contrib.auth import get_user_model

from booru_ml.types import Analysis, Box, Face, Finding, FloatArray, Refusal
from deploy.demo.board.models import Post
from embeddings import services
from embeddings.types import SupportRef

VERSION = "test@000000000001"
SIZE = 64

_numbers = count(1)


class Artist:
    """Draws embeddings: pictures of one character are cosine ≈ 0.6 apart, of two ≈ 0 (standard deviation 0.12)."""

    def __init__(self, seed: int = 0, noise: float = 0.8) -> None:
        self.random = np.random.default_rng(seed)
        self.noise = noise

    def character(self) -> FloatArray:
        return unit(self.random.normal(size=SIZE))

    def picture(self, of: FloatArray | None = None) -> FloatArray:
        """A picture of a character, or of nobody in particular."""
        scatter = self.random.normal(size=SIZE) * self.noise / SIZE**0.5
        return unit((self.character() if of is None else of) + scatter)


def unit(vector: Any) -> FloatArray:
    values = np.asarray(vector, dtype=np.float32)
    return values / np.linalg.norm(values)


def uploader() -> Any:
    return get_user_model().objects.get_or_create(username="uploader")[0]


def post(**others: Any) -> Post:
    number = next(_numbers)
    digest = sha256(f"embeddings {number}".encode()).hexdigest()
    facts = {"uploader": others.pop("uploader", None) or uploader(), "picture": f"posts/{digest}.png"}
    return Post.objects.create(sha256=digest, md5=digest[:32], **(facts | others))


def finding(
    vector: FloatArray,
    *,
    style: FloatArray | None = None,
    faces: Sequence[FloatArray] = (),
    version: str = VERSION,
) -> Finding:
    found = tuple(
        Face(Box(0.05 + 0.9 * number / max(len(faces), 1), 0.1, 0.8 / max(len(faces), 1), 0.3), 0.9, face)
        for number, face in enumerate(faces)
    )
    return Finding(vector, np.zeros(0, np.float32) if style is None else style, found, {}, version)


def analysis(on: Post, found: Finding | None, *, job_id: int | None = None) -> Analysis:
    refusal = None if found else Refusal("corrupt", "The file is damaged.")
    return Analysis(job_id or next(_numbers), on.pk, "p", on.sha256, 64, 64, 1, found, refusal)


def seen(vector: FloatArray, **others: Any) -> Post:
    """A new post that was analysed."""
    made = post()
    services.remember([analysis(made, finding(vector, **others))])
    return made


def enrolled(name: str, vectors: Sequence[FloatArray], **others: Any) -> Any:
    """A subject known by new posts with these vectors."""
    posts = [seen(vector, **others) for vector in vectors]
    return services.enrol(name=name, posts=[SupportRef(item.pk) for item in posts], actor=None)


def recognise(vector: FloatArray, **others: Any) -> Any:
    return services.recognise_all([analysis(post(), finding(vector, **others))])[0]
