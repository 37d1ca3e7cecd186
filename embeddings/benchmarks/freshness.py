"""How soon a committed vector is found by another reader, while 100 a second are committed."""

from __future__ import annotations

import queue
import threading
import time
from typing import Any

import numpy as np
from django.db import connections

from booru_ml.benchmarks.board import Board
from booru_ml.benchmarks.samples import Posts, picture
from booru_ml.benchmarks.stage import stage
from embeddings.benchmarks.vectors import drawn
from embeddings.models import Vector
from embeddings.similar import Space
from embeddings.store import encode

DIMENSION = 512
VERSION = "bench@0"
ASKED = 4
"""Every so manieth vector is looked for, so that the reader is no slower than the writer."""


def measure(*, rate: float, seconds: float, before: int) -> dict[str, Any]:
    """On an empty database of its own that holds ``before`` vectors when it begins."""
    count = max(2, int(rate * seconds))
    vectors = drawn(before + count, DIMENSION)
    with stage() as folder:
        path = folder / "picture.jpg"
        path.write_bytes(picture())
        posts = Board(Posts(), [path]).furnish()
        rows = [_row(posts, number, vectors[number]) for number in range(before)]
        Vector.objects.bulk_create(rows, batch_size=500)
        committed: queue.Queue[tuple[int, int, float] | None] = queue.Queue()
        writer = threading.Thread(target=_write, args=(posts, vectors, before, rate, committed))
        space, waits = Space(VERSION, "picture"), []
        space.search(vectors[:1], 1)
        writer.start()
        while news := committed.get():
            number, id_, at = news
            while not (found := space.search(vectors[number : number + 1], 1)[0]) or found[0][0] != id_:
                if time.perf_counter() - at > 30:
                    break
            waits.append(time.perf_counter() - at)
        writer.join()
        if space.keeper:
            space.keeper.join()
    return {
        "database": connections[Vector.objects.db].vendor,
        "vectors_before": before,
        "added": count,
        "per_second": rate,
        "p50_s": round(float(np.percentile(waits, 50)), 4),
        "p99_s": round(float(np.percentile(waits, 99)), 4),
        "most_s": round(max(waits), 4),
    }


def _write(posts: list[Any], vectors: Any, first: int, rate: float, committed: queue.Queue[Any]) -> None:
    started = time.perf_counter()
    for turn, number in enumerate(range(first, len(vectors))):
        time.sleep(max(0.0, started + turn / rate - time.perf_counter()))
        row = _row(posts, number, vectors[number])
        row.save()
        if turn % ASKED == 0:
            committed.put((number, row.pk, time.perf_counter()))
    committed.put(None)
    connections.close_all()


def _row(posts: list[Any], number: int, vector: Any) -> Vector:
    """Many vectors of few posts: a vector's number counts its post's."""
    turn, place = divmod(number, len(posts))
    return Vector(post_id=posts[place], number=turn, kind="picture", model_version=VERSION, data=encode(vector))
