"""``python -m embeddings.benchmarks.milvus ADDRESS``: how a Milvus server does, over the network as it stands.

Makes a collection of its own there and drops it again.
"""

from __future__ import annotations

import argparse
import json
import secrets
import sys
import time
from collections.abc import Callable

import numpy as np

from booru_ml.types import FloatArray
from embeddings.benchmarks.vectors import drawn
from embeddings.index.milvus import MilvusIndex, Store

NEIGHBOURS = 10
QUERIES = 100
BATCH = 64
ADDED = 50
CHUNK = 10_000


def measure(address: str, *, size: int, dimension: int) -> dict[str, float | int]:
    """Seconds to fill, milliseconds (p50, p99) of a search by one and by 64, of an added vector until a search has it,
    and recall@10 against the exact answer."""
    every = drawn(size + ADDED + QUERIES, dimension)
    stored, more, queries = every[:size], every[size : size + ADDED], every[size + ADDED :]
    index = MilvusIndex(Store(address), f"bench_{secrets.token_hex(4)}", dimension)
    index.create()
    try:
        begun = time.perf_counter()
        for start in range(0, size, CHUNK):
            index.add(np.arange(start, min(start + CHUNK, size)), stored[start : start + CHUNK])
        index.flush()
        filled = time.perf_counter() - begun
        index.search(queries[:1], NEIGHBOURS)  # the first one loads
        found: list[FloatArray] = []
        single = _times(lambda n: found.append(index.search(queries[n][None], NEIGHBOURS)[0][0]), QUERIES)
        batch = _times(lambda n: index.search(np.roll(queries, -n, axis=0)[:BATCH], NEIGHBOURS), 20)
        fresh = _times(lambda n: _add(index, size + n, more[n]), ADDED)
    finally:
        index.drop()
    least = np.sort(queries @ stored.T, axis=1)[:, -NEIGHBOURS, None]
    return {
        "vectors": size,
        "dimension": dimension,
        "fill_s": round(filled, 1),
        **{f"single_{name}_ms": value for name, value in single.items()},
        **{f"batch{BATCH}_{name}_ms": value for name, value in batch.items()},
        **{f"add_{name}_ms": value for name, value in fresh.items()},
        "recall_at_10": round(float((np.array(found) >= least - 1e-5).mean()), 4),
    }


def _add(index: MilvusIndex, id_: int, vector: FloatArray) -> None:
    index.add(np.array([id_]), vector[None])
    index.settle(id_)


def _times(act: Callable[[int], object], count: int) -> dict[str, float]:
    times = []
    for number in range(count):
        begun = time.perf_counter()
        act(number)
        times.append(1000 * (time.perf_counter() - begun))
    return {f"p{share}": round(float(np.percentile(times, share)), 2) for share in (50, 99)}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m embeddings.benchmarks.milvus", description=__doc__)
    parser.add_argument("address", help="as in VECTOR_STORE: milvus+http://host:19530")
    parser.add_argument("--size", type=int, default=10_000)
    parser.add_argument("--dimension", type=int, default=512)
    asked = parser.parse_args()
    said = measure(asked.address, size=asked.size, dimension=asked.dimension)
    sys.stdout.write(json.dumps(said, indent=2) + "\n")


if __name__ == "__main__":
    main()
