"""How long a dry run and a check-up take: ``python -m tests.benchmarks.dry_run --posts 100000 --subjects 1000``.

Vectors are clustered as characters are (cosine about 0.6 within one); the board lives in a database of its own.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np

Seconds = tuple[float, float]
SIDE = 512
CHUNK = 5000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--posts", type=int, default=100_000)
    parser.add_argument("--subjects", type=int, default=1000)
    parser.add_argument("--shots", type=int, default=5)
    parser.add_argument("--repeats", type=int, default=5)
    asked = parser.parse_args()
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "deploy.demo.settings")
    import django

    django.setup()
    from booru_ml.benchmarks.stage import stage

    with stage():
        print(json.dumps(measure(asked), indent=1))


def measure(asked: argparse.Namespace) -> dict[str, Any]:
    from embeddings import services, similar
    from embeddings.calibration import active_version
    from embeddings.models import Subject
    from embeddings.types import SupportRef

    draw = np.random.default_rng(0)
    version = active_version()
    looks = _unit(draw.normal(size=(asked.subjects, SIDE)))
    posts = _posts(asked.posts)
    for start in range(0, len(posts), CHUNK):
        some = posts[start : start + CHUNK]
        who = np.arange(start, start + len(some)) % (2 * asked.subjects)  # every other picture shows nobody enrolled
        near = np.where((who < asked.subjects)[:, None], looks[who % asked.subjects], 0)
        vectors = _unit(near + draw.normal(size=(len(some), SIDE)) * 0.8 / SIDE**0.5)
        _remember(some, vectors, version)
    for number in range(1, asked.subjects):
        shown = [SupportRef(posts[number + 2 * asked.subjects * shot]) for shot in range(asked.shots)]
        _enrol(f"character_{number}", shown)
    examples = [SupportRef(posts[2 * asked.subjects * shot]) for shot in range(asked.shots)]
    first, found = _timed(lambda: services.preview(name="newcomer", show=examples))
    again = [_timed(lambda: services.preview(name="newcomer", show=examples))[0] for _ in range(asked.repeats)]
    subject = Subject.objects.order_by("pk").first()
    assert subject is not None
    health_first, _ = _timed(lambda: services.checkup(subject.pk))
    health = [_timed(lambda: services.checkup(subject.pk))[0] for _ in range(asked.repeats)]
    page, _ = _timed(lambda: services.checkups(list(Subject.objects.order_by("pk")[:50]), category="character"))
    space = similar.spaces[version, "picture"]
    if isinstance(space, similar.Space) and space.keeper:
        space.keeper.join()  # its database goes with the stage
    return {
        "posts": asked.posts,
        "subjects": asked.subjects,
        "shots": asked.shots,
        "preview": _said(first=[first], median=again) | {"compared": found.compared, "named": found.count},
        "checkup": _said(first=[health_first], median=health, fifty=[page]),
    }


def _said(**taken: list[Seconds]) -> dict[str, float]:
    report = {}
    for name, times in taken.items():
        report[f"{name}_seconds"] = round(statistics.median(wall for wall, _ in times), 3)
        report[f"{name}_cpu_seconds"] = round(statistics.median(processor for _, processor in times), 3)
    return report


def _posts(count: int) -> list[Any]:
    from django.contrib.auth import get_user_model

    from deploy.demo.board.models import Post

    owner = get_user_model().objects.create_user("bench")
    rows = [Post(uploader=owner, sha256=f"{n:064x}", md5=f"{n:032x}", picture=f"posts/{n}.png") for n in range(count)]
    Post.objects.bulk_create(rows, batch_size=CHUNK)
    return list(Post.objects.order_by("pk").values_list("pk", flat=True))


def _remember(posts: list[Any], vectors: Any, version: str) -> None:
    from embeddings.models import Vector

    rows = [
        Vector(post_id=key, kind="picture", model_version=version, data=vector.astype("<f2").tobytes())
        for key, vector in zip(posts, vectors, strict=True)
    ]
    Vector.objects.bulk_create(rows)


def _enrol(name: str, shown: list[Any]) -> None:
    from embeddings import services

    services.enrol(name=name, posts=shown, actor=None)


def _unit(vectors: Any) -> Any:
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)


def _timed(verb: Callable[[], Any]) -> tuple[Seconds, Any]:
    """Wall and processor seconds, of which other work on the machine stretches the first."""
    wall, processor = time.perf_counter(), time.process_time()
    answer = verb()
    return (time.perf_counter() - wall, time.process_time() - processor), answer


if __name__ == "__main__":
    main()
