"""The usual PNG, decoded by kornia-rs (Rust's png) in half of the time that Pillow takes, or less.

It gives the pixels that Pillow would, or none: whatever it does not take is left to Pillow, whose word counts. In one
thing it is milder: it does not look at the checksum of the pixels' whole stream, only at those of its parts.
"""

from __future__ import annotations

from kornia_rs import io as rust
from PIL import Image, ImageFile

from booru_ml.pipeline.images import blocks
from booru_ml.pipeline.images.limits import Limits
from booru_ml.pipeline.images.sniff import Bytes

_DEPTH, _COLOURS = 24, 25
"""Offsets of the header's bytes."""
_CHANNELS = {0: ("L", "mono", 1), 2: ("RGB", "rgb", 3), 6: ("RGBA", "rgba", 4)}
"""By the header's kind of colours: Pillow's mode, the decoder's name of it, bytes a pixel."""
_PILLOW_BYTES = 4
# Transparency by colour and animations are Pillow's.
_UNUSUAL = frozenset((b"tRNS", b"acTL"))


def fill(image: ImageFile.ImageFile, data: Bytes, limits: Limits) -> bool:
    """Gives an opened PNG its pixels, as ``image.load()`` would; False where it has to be called after all."""
    if not _is_usual(data):
        return False
    mode, name, channels = _CHANNELS[data[_COLOURS]]
    width, height = image.size
    # It panics where memory runs out, so it must not come near.
    if mode != image.mode or len(data) + width * height * (channels + _PILLOW_BYTES) > limits.memory * 3 // 4:
        return False
    file = bytes(data)
    try:
        pixels = rust.decode_image_png_u8(file, (height, width), name)
    except Exception:  # what it raises has no class but this
        return False
    image.im = Image.frombuffer(mode, image.size, pixels, "raw", mode, 0, 1).im
    image.tile = []  # so that Pillow takes the picture for loaded
    return True


def _is_usual(data: Bytes) -> bool:
    """Eight bits a channel, and nothing after the pixels that Pillow would only read with them."""
    if data[_DEPTH] != 8 or data[_COLOURS] not in _CHANNELS:
        return False
    kinds = [kind for kind, _, _ in blocks.png_chunks(data)]
    if b"IDAT" not in kinds or kinds[-1] != b"IEND" or not _UNUSUAL.isdisjoint(kinds):
        return False
    return set(kinds[kinds.index(b"IDAT") : -1]) == {b"IDAT"}
