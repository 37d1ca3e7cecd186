"""What a file's head says of itself, read without any decoder: format by content, canvas.

Every reader here works on a mapped file, follows only forward offsets and stops at the file's end, so that hostile
bytes cost at most one pass over the file.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import TypeAlias

Bytes: TypeAlias = memoryview
Size: TypeAlias = tuple[int, int]

_CONTAINERS = {b"meta": 4, b"iprp": 0, b"ipco": 0, b"moov": 0, b"trak": 0, b"mdia": 0, b"minf": 0, b"stbl": 0}


def format_of(head: bytes) -> str | None:
    """Pillow's name of the format whose magic ``head`` (the first 64 bytes or more) carries, if it is accepted."""
    if head.startswith(b"\xff\xd8\xff"):
        return "JPEG"
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        return "PNG"
    if head.startswith((b"GIF87a", b"GIF89a")):
        return "GIF"
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "WEBP"
    if head[4:8] == b"ftyp":
        end = min(len(head), struct.unpack(">I", head[:4])[0])
        brands = [head[8:12], *(head[at : at + 4] for at in range(16, end - 3, 4))]
        if b"avif" in brands or b"avis" in brands:
            return "AVIF"
    return None


def canvas_of(kind: str, data: Bytes) -> Size | None:
    """Width and height that the headers claim, in pixels; ``None`` where only Pillow's own parser can tell."""
    try:
        if kind == "PNG" and bytes(data[12:16]) == b"IHDR":
            return struct.unpack_from(">II", data, 16)
        if kind == "GIF":
            return struct.unpack_from("<HH", data, 6)
        if kind == "WEBP":
            return _webp_canvas(data)
        if kind == "AVIF":
            return max(_avif_canvases(data), key=lambda size: size[0] * size[1], default=None)
    except struct.error:
        return None
    return None


def png_depth(data: Bytes) -> int:
    """Bits per sample of a PNG."""
    return data[24] if len(data) > 24 else 8


def _webp_canvas(data: Bytes) -> Size | None:
    chunk = bytes(data[12:16])
    if chunk == b"VP8X":
        low_w, high_w, low_h, high_h = struct.unpack_from("<HBHB", data, 24)
        return low_w + (high_w << 16) + 1, low_h + (high_h << 16) + 1
    if chunk == b"VP8L":
        (bits,) = struct.unpack_from("<I", data, 21)
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    if chunk == b"VP8 ":
        width, height = struct.unpack_from("<HH", data, 26)
        return width & 0x3FFF, height & 0x3FFF
    return None


def _avif_canvases(data: Bytes) -> Iterator[Size]:
    """Sizes in the item properties (``ispe``) and the video sample entries (``av01``)."""
    for kind, start, end in boxes(data, 0, len(data)):
        if kind == b"ispe" and end - start >= 12:
            yield struct.unpack_from(">II", data, start + 4)
        elif kind == b"stsd":
            for entry, at, stop in boxes(data, start + 8, end):
                if entry == b"av01" and stop - at >= 28:
                    yield struct.unpack_from(">HH", data, at + 24)


def boxes(data: Bytes, start: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """ISO boxes between two offsets, containers unfolded: type, start and end of the content."""
    pending = [(start, end)]
    while pending:
        at, end = pending.pop()
        while at + 8 <= end:
            size, kind = struct.unpack_from(">I4s", data, at)
            header = 8
            if size == 1 and at + 16 <= end:
                (size,) = struct.unpack_from(">Q", data, at + 8)
                header = 16
            stop = end if size == 0 else min(end, at + size)
            if size and size < header:
                return
            yield kind, at + header, stop
            if kind in _CONTAINERS:
                pending.append((at + header + _CONTAINERS[kind], stop))
            at = stop
