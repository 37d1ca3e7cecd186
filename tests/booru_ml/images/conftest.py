"""A pool of decoders with a small canvas."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from typing import TypeAlias

import pytest

from booru_ml.pipeline.images import DecoderPool, Limits
from booru_ml.types import Picture

Decode: TypeAlias = Callable[[bytes], Picture]


@pytest.fixture(scope="module")
def pool() -> Iterator[DecoderPool]:
    with DecoderPool(workers=1, limits=Limits(canvas_side=64)) as decoders:
        yield decoders


@pytest.fixture
def decode(pool: DecoderPool) -> Decode:
    return lambda data: pool.submit(io.BytesIO(data)).result(timeout=60)
