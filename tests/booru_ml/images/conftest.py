"""Pictures made on the spot, and a pool to decode them."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

import pytest
from PIL import Image

from booru_ml.pipeline.images import DecoderPool, Limits
from booru_ml.types import Picture

Decode: TypeAlias = Callable[[bytes], Picture]


def encoded(image: Image.Image, kind: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


@pytest.fixture(scope="module")
def pool() -> Iterator[DecoderPool]:
    with DecoderPool(workers=1, limits=Limits(canvas_side=64)) as decoders:
        yield decoders


@pytest.fixture
def decode(pool: DecoderPool) -> Decode:
    return lambda data: pool.submit(io.BytesIO(data)).result(timeout=60)
