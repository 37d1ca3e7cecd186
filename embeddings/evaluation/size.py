"""``booru_evaluate gallery``: how fast a gallery of thousands answers, and how soon a change of it is live."""

from __future__ import annotations

import secrets
import time
from argparse import ArgumentParser
from collections.abc import Callable, Sequence
from copy import copy
from typing import TYPE_CHECKING, Any

import numpy as np

from booru_ml.conf import config
from booru_ml.evaluation.task import Answer, Options, Say, Task, natural, positive

if TYPE_CHECKING:
    from booru_ml.types import FloatArray
    from embeddings.gallery import Room, Snapshot

VERSION = "synthetic@000000000000"
ALIKE = 0.55
"""Mean cosine of two pictures of one character, as measured of unseen ones."""
STRANGERS = 3000
CHUNK = 5000


class GallerySize(Task):
    name = "gallery"
    help = "how fast a gallery of thousands answers, and how soon a change is live; synthetic, in a database of its own"

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--characters", type=positive, default=10_000, help="default: %(default)s")
        parser.add_argument("--pictures", type=positive, default=5, help="of each; default: %(default)s")
        parser.add_argument("--dimension", type=positive, default=512, help="of vectors; default: %(default)s")
        parser.add_argument("--queries", type=positive, default=500, help="default: %(default)s")
        parser.add_argument("--changes", type=positive, default=10, help="default: %(default)s")
        parser.add_argument("--seed", type=natural, default=0)

    def ask(self, options: Options, say: Say) -> Answer:
        from threadpoolctl import threadpool_limits

        from booru_ml.benchmarks.stage import stage
        from embeddings.gallery import Room

        drawn = Drawn(options["dimension"], options["seed"])
        looks = drawn.looks(options["characters"])
        with stage() as folder, threadpool_limits(config().THREADS):  # as a worker computes
            say("Filling a database …")
            posts = _fill(drawn, looks, options["pictures"], folder)
            room = Room()
            load, snapshot = _timed(lambda: room.snapshot(VERSION, "picture"))
            changes = _change(room, drawn, looks, posts[: options["changes"]])
            snapshot = room.snapshot(VERSION, "picture")
            asked = np.random.default_rng(options["seed"] + 1).integers(0, len(looks), options["queries"])
            queries = drawn.pictures(looks[asked])
            report = {
                "characters": options["characters"],
                "pictures": options["pictures"],
                "dimension": options["dimension"],
                "exemplar_mib": round(snapshot.read.vectors.nbytes / 2**20, 1),
                "load_seconds": round(load, 2),
                "change_p50_seconds": round(float(np.median([wall for wall, _ in changes])), 3),
                "change_max_seconds": round(max(wall for wall, _ in changes), 3),
                "change_processor_seconds": round(float(np.median([own for _, own in changes])), 3),
                **_look_up(queries, snapshot),
                "agrees_with_exact": _agreement(queries[:100], snapshot),
            }
        return Answer(report, [f"{name.replace('_', ' '):<28}{value}" for name, value in report.items()])


class Drawn:
    """Vectors that lie as an encoder's do: of the products' sum the first 64 axes hold two thirds, 256 nine tenths."""

    def __init__(self, dimension: int, seed: int) -> None:
        self._random = np.random.default_rng(seed)
        self._scale = (20 + np.arange(dimension)) ** -0.75
        self._turn = np.linalg.qr(self._random.normal(size=(dimension, dimension)))[0]
        self._noise = ((1 - ALIKE) / ALIKE) ** 0.5

    def looks(self, count: int) -> FloatArray:
        return self._draw(count)

    def pictures(self, of: FloatArray) -> FloatArray:
        """One of each look (N, D), normalised."""
        from embeddings.methods import normalise

        return normalise(of + self._noise * self._draw(len(of)))

    def _draw(self, count: int) -> FloatArray:
        flat = self._random.normal(size=(count, len(self._scale))) * self._scale
        return np.asarray(flat @ self._turn, np.float32)


def _fill(drawn: Drawn, looks: FloatArray, each: int, folder: Any) -> list[Any]:
    """Everybody enrolled, and posts of strangers, whose ids are returned."""
    from booru_ml.benchmarks.board import Board
    from booru_ml.benchmarks.samples import Posts, picture
    from embeddings.models import Subject, Support, Vector
    from embeddings.store import encode

    (folder / "picture.jpg").write_bytes(picture())
    first = Board(Posts(), [folder / "picture.jpg"]).point()

    def posts(vectors: FloatArray) -> list[Any]:
        ids: list[Any] = []
        for start in range(0, len(vectors), CHUNK):
            made = type(first)._default_manager.bulk_create(_like(first) for _ in vectors[start : start + CHUNK])
            ids += [post.pk for post in made]
        blobs = (
            Vector(post_id=post, kind="picture", model_version=VERSION, data=encode(vector))
            for post, vector in zip(ids, vectors, strict=True)
        )
        Vector.objects.bulk_create(blobs, batch_size=CHUNK)
        return ids

    subjects = Subject.objects.bulk_create([Subject(name=f"character_{number}") for number in range(len(looks))])
    owners = np.repeat(np.arange(len(looks)), each)
    shown = posts(np.concatenate([drawn.pictures(looks[part]) for part in np.array_split(owners, 8)]))
    Support.objects.bulk_create(
        [Support(subject=subjects[owner], post_id=post) for owner, post in zip(owners, shown, strict=True)],
        batch_size=CHUNK,
    )
    return posts(drawn.pictures(drawn.looks(STRANGERS)))


def _like(post: Any) -> Any:
    """Another unsaved post, that has of its own only what must be unique."""
    other = copy(post)
    for field in post._meta.concrete_fields:
        if field.unique and not field.primary_key:
            setattr(other, field.attname, secrets.token_hex(32)[: field.max_length or 64])
    return other


def _change(room: Room, drawn: Drawn, looks: FloatArray, posts: Sequence[Any]) -> list[tuple[float, float]]:
    """Seconds, and the processor's of them, until a process that answers knows of one more picture of a character."""
    from embeddings import services
    from embeddings.models import Subject
    from embeddings.types import SupportRef

    found = []
    for subject, post in zip(Subject.objects.order_by("pk"), posts, strict=False):
        services.add_support(subject_id=subject.pk, posts=[SupportRef(post)], actor=None)
        began = time.process_time()
        seconds, snapshot = _timed(lambda: room.snapshot(VERSION, "picture"))
        if post not in snapshot.posts:
            raise RuntimeError("the change is not in the gallery that was read after it")
        found.append((seconds, time.process_time() - began))
    return found


def _look_up(queries: FloatArray, snapshot: Snapshot) -> dict[str, float]:
    from embeddings import recognition

    wall, own = [], []
    for query in queries:
        before, began = time.process_time(), time.perf_counter()
        recognition.compare(query[None], snapshot)
        wall.append(1000 * (time.perf_counter() - began))
        own.append(1000 * (time.process_time() - before))
    warm = slice(len(queries) // 10, None)
    return {
        "look_up_p50_ms": round(float(np.quantile(wall[warm], 0.5)), 2),
        "look_up_p99_ms": round(float(np.quantile(wall[warm], 0.99)), 2),
        "look_up_p99_processor_ms": round(float(np.quantile(own[warm], 0.99)), 2),
    }


def _agreement(queries: FloatArray, snapshot: Snapshot) -> float:
    """The share of queries whose three best are those that weighing everybody finds, in that order."""
    from embeddings import prototypes

    same = []
    everybody = prototypes.weigh(queries, snapshot.supports, snapshot.calibration)
    likely = prototypes.weigh_likely(queries, snapshot.supports, snapshot.calibration)
    for row, (places, found) in enumerate(likely):
        exact = np.argsort(-everybody.standard[row])[:3]
        same.append(bool((places[np.argsort(-found.standard[0])[:3]] == exact).all()))
    return float(np.mean(same))


def _timed(work: Callable[[], Any]) -> tuple[float, Any]:
    began = time.perf_counter()
    found = work()
    return time.perf_counter() - began, found
