"""Guarded decoding of untrusted pictures: ``DecoderPool(limits=Limits(…)).submit(stream)``; see docs/pictures.md."""

from booru_ml.pipeline.images.limits import Limits
from booru_ml.pipeline.images.pool import DecoderPool

__all__ = ["DecoderPool", "Limits"]
