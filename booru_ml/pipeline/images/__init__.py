"""Guarded decoding of untrusted pictures: ``DecoderPool(limits=Limits(…)).submit(stream)``; see docs/pictures.md."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from booru_ml.pipeline.images.limits import Limits

if TYPE_CHECKING:
    from booru_ml.pipeline.images.pool import DecoderPool

__all__ = ["DecoderPool", "Limits"]


def __getattr__(name: str) -> Any:
    # The decoding child imports this package too and shall not pay for NumPy.
    if name == "DecoderPool":
        from booru_ml.pipeline.images.pool import DecoderPool

        return DecoderPool
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
