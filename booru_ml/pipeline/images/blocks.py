"""The parts that JPEG, PNG and GIF files are made of, found without any decoder.

Like ``sniff``: a mapped file, forward offsets only, an end at the file's end.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from booru_ml.pipeline.images.sniff import Bytes

MAX_PARTS = 200_000
"""Parts of one file that are looked at: enough for every real one, and a fraction of a second."""

# What starts a block or ends the file; decoders skip whatever else stands between blocks.
_GIF_BLOCK = re.compile(rb"[!,;]")
_GIF_EXTENSIONS = (0x01, 0xF9, 0xFE, 0xFF)
_JPEG_MARKER = re.compile(rb"\xff[^\x00\xff]", re.DOTALL)
_JPEG_SCAN_END = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]", re.DOTALL)
_JPEG_STRAY = re.compile(rb"[^\xff]", re.DOTALL)
_JPEG_BARE = frozenset((0x01, *range(0xD0, 0xD9)))
SOS, EOI = 0xDA, 0xD9


@dataclass(frozen=True, slots=True)
class Segment:
    """A JPEG segment: ``marker``'s second byte, ``start`` and ``end`` of its content. ``stray``: bytes before it
    belong to no segment."""

    marker: int
    start: int
    end: int
    stray: bool


@dataclass(frozen=True, slots=True)
class Animation:
    """Frames of a GIF or APNG: ``count`` as found in the file, of which the first ``usable`` are whole and fit.

    ``stray``: bytes or blocks of no known kind were passed over. ``end``: where the file's last part ends; ``None``
    where it was not reached.
    """

    count: int
    usable: int
    stray: bool = False
    end: int | None = None


def jpeg_segments(data: Bytes) -> Iterator[Segment]:
    """From behind the first marker to the end of the image (``EOI``, the last that is given)."""
    at = 2
    for _ in range(MAX_PARTS):
        found = _JPEG_MARKER.search(data, at)
        if found is None:
            return
        stray = _JPEG_STRAY.search(data, at, found.start()) is not None
        marker, start = found[0][1], found.end()
        at = start
        if marker not in _JPEG_BARE and marker != EOI and start + 2 <= len(data):
            at = min(len(data), start + max(2, *struct.unpack_from(">H", data, start)))
        yield Segment(marker, start, at, stray)
        if marker == EOI:
            return
        if marker == SOS:
            behind = _JPEG_SCAN_END.search(data, at)
            if behind is None:
                return
            at = behind.start()


def png_chunks(data: Bytes) -> Iterator[tuple[bytes, int, int]]:
    """Type, start and end of the content of each chunk, up to and with ``IEND``."""
    at = 8
    for _ in range(MAX_PARTS):
        if at + 12 > len(data):
            return
        size, kind = struct.unpack_from(">I4s", data, at)
        yield kind, at + 8, at + 8 + size
        if kind == b"IEND":
            return
        at += 12 + size


def png_animation(data: Bytes) -> Animation:
    """Counts the frames of an APNG by their control chunks, not by the number the header claims."""
    controls, default_image, seen_data = 0, False, False
    for kind, _, _ in png_chunks(data):
        if kind == b"fcTL":
            controls += 1
        elif kind == b"IDAT" and not seen_data:
            seen_data, default_image = True, controls == 0
    count = max(1, controls + default_image)
    return Animation(count=count, usable=count)


def gif_animation(data: Bytes, *, fits: Callable[[int, int], bool], in_time: Callable[[], bool]) -> Animation:
    """Walks the blocks of a GIF. A frame is usable while its extent passes ``fits``, its data are whole and every
    frame before it was usable; the walk ends early when ``in_time`` says no."""
    count = usable = 0
    broken = stray = False
    end: int | None = None
    try:
        flags = data[10]
        at = 13 + (3 << (flags & 7) + 1 if flags & 0x80 else 0)
        while block := _GIF_BLOCK.search(data, at):
            stray |= block.start() > at
            at = block.start()
            if block[0] == b";":
                end = at + 1
                break
            if block[0] == b"!":
                stray |= data[at + 1] not in _GIF_EXTENSIONS
                at = _skip_blocks(data, at + 2)
                continue
            x, y, width, height, flags = struct.unpack_from("<HHHHB", data, at + 1)
            count += 1
            broken = broken or not fits(x + width, y + height)
            at = _skip_blocks(data, at + 11 + (3 << (flags & 7) + 1 if flags & 0x80 else 0))
            usable += not broken
            if not in_time():
                break
    except (IndexError, struct.error):
        pass  # The file ends inside a block: that frame is counted, not usable.
    return Animation(count=count, usable=usable, stray=stray, end=end)


def _skip_blocks(data: Bytes, at: int) -> int:
    while size := data[at]:
        at += size + 1
    return at + 1
