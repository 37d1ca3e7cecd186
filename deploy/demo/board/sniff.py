"""What a file is, from its first bytes: no decoder, no exception, bounded work.

The board needs an extension, a content type to serve the file with, and width and height to lay the page out before
the picture has loaded. It never decides here whether a picture is sound; the analysis does that in a guarded process.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

HEAD_BYTES = 256 * 1024
"""How much of a file is looked at; a JPEG whose frame header lies deeper has no known size."""

CONTENT_TYPES = {
    "jpg": "image/jpeg",
    "png": "image/png",
    "gif": "image/gif",
    "webp": "image/webp",
    "avif": "image/avif",
}
UNKNOWN_TYPE = "application/octet-stream"
LARGEST_SIDE = 2**31 - 1


@dataclass(frozen=True, slots=True)
class Sniffed:
    """``ext`` is one of ``CONTENT_TYPES`` or ``bin``; sides in pixels, 0 where unknown."""

    ext: str = "bin"
    width: int = 0
    height: int = 0


def sniff(head: bytes) -> Sniffed:
    """Format and size by the first ``HEAD_BYTES`` of a file; ``Sniffed()`` for anything else."""
    head = head[:HEAD_BYTES]
    for ext, looks_like, size in _FORMATS:
        if looks_like(head):
            try:
                width, height = size(head)
            except (IndexError, ValueError):
                width = height = 0
            if not (0 < width <= LARGEST_SIDE and 0 < height <= LARGEST_SIDE):
                width = height = 0
            return Sniffed(ext, width, height)
    return Sniffed()


def _big(data: bytes, at: int, length: int) -> int:
    if at < 0 or at + length > len(data):
        raise IndexError(at)
    return int.from_bytes(data[at : at + length], "big")


def _little(data: bytes, at: int, length: int) -> int:
    if at < 0 or at + length > len(data):
        raise IndexError(at)
    return int.from_bytes(data[at : at + length], "little")


def _png(data: bytes) -> tuple[int, int]:
    return _big(data, 16, 4), _big(data, 20, 4)


def _gif(data: bytes) -> tuple[int, int]:
    return _little(data, 6, 2), _little(data, 8, 2)


def _webp(data: bytes) -> tuple[int, int]:
    chunk = data[12:16]
    if chunk == b"VP8X":
        return _little(data, 24, 3) + 1, _little(data, 27, 3) + 1
    if chunk == b"VP8L":
        bits = _little(data, 21, 4)
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    return _little(data, 26, 2) & 0x3FFF, _little(data, 28, 2) & 0x3FFF


def _jpeg(data: bytes) -> tuple[int, int]:
    at, turned = 2, False
    while True:
        while _big(data, at, 1) == 0xFF:
            at += 1
        marker = data[at]
        length = _big(data, at + 1, 2)
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            height, width = _big(data, at + 4, 2), _big(data, at + 6, 2)
            return (height, width) if turned else (width, height)
        if marker == 0xDA or length < 2:
            raise ValueError("no frame header before the scan")
        if marker == 0xE1:
            turned = turned or _turned(data[at + 3 : at + 1 + length])
        at += 1 + length
        if _big(data, at, 1) != 0xFF:
            raise ValueError("no marker where one must stand")


def _turned(exif: bytes) -> bool:
    """Whether an EXIF block says that the picture is to be shown lying on its side."""
    if not exif.startswith(b"Exif\0\0"):
        return False
    tiff = exif[6:]
    read = _little if tiff.startswith(b"II") else _big
    try:
        first = read(tiff, 4, 4)
        for entry in range(min(read(tiff, first, 2), 64)):
            at = first + 2 + 12 * entry
            if read(tiff, at, 2) == 0x0112:
                return 5 <= read(tiff, at + 8, 2) <= 8
    except IndexError:
        pass
    return False


def _avif(data: bytes) -> tuple[int, int]:
    """The largest ``ispe`` box: tiles and thumbnails have smaller ones."""
    sizes: list[tuple[int, int]] = []
    for kind, start, end in _boxes(data, 0, len(data)):
        if kind == b"meta":
            for inner, inner_start, inner_end in _boxes(data, start + 4, end):
                if inner == b"iprp":
                    for leaf, leaf_start, leaf_end in _boxes(data, inner_start, inner_end):
                        if leaf == b"ipco":
                            sizes += [
                                (_big(data, at + 4, 4), _big(data, at + 8, 4))
                                for name, at, _ in _boxes(data, leaf_start, leaf_end)
                                if name == b"ispe"
                            ]
    return max(sizes)


def _boxes(data: bytes, at: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """Boxes of ISO base media: kind, start and end of the content. At most 256 of them."""
    for _ in range(256):
        if at + 8 > min(end, len(data)):
            return
        length = _big(data, at, 4)
        if length < 8:
            return
        yield data[at + 4 : at + 8], at + 8, min(at + length, end)
        at += length


_FORMATS: tuple[tuple[str, Callable[[bytes], bool], Callable[[bytes], tuple[int, int]]], ...] = (
    ("jpg", lambda head: head.startswith(b"\xff\xd8\xff"), _jpeg),
    ("png", lambda head: head.startswith(b"\x89PNG\r\n\x1a\n"), _png),
    ("gif", lambda head: head[:6] in (b"GIF87a", b"GIF89a"), _gif),
    ("webp", lambda head: head[:4] == b"RIFF" and head[8:12] == b"WEBP", _webp),
    ("avif", lambda head: head[4:8] == b"ftyp" and head[8:12] in (b"avif", b"avis"), _avif),
)
