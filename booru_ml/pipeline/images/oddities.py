"""What a decoder passes over without a word, and people should know of: notes on one opened file.

Everything here concerns the file beside its pixels. Nothing of it ever refuses a picture.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from itertools import islice

from PIL import Image, TiffTags

from booru_ml.pipeline.images import blocks, sniff
from booru_ml.pipeline.images.sniff import Bytes

SRGB_PRIMARIES = (0.3127, 0.329, 0.64, 0.33, 0.3, 0.6, 0.15, 0.06)
# Codes of ITU-T H.273 that are sRGB or so close to it that viewers show them alike, "unspecified" among them.
_LIKE_SRGB = {"primaries": (1, 2), "transfer": (1, 2, 6, 13, 14, 15)}
_USUAL_CODINGS = (0xC0, 0xC2)
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_TEXTUAL = (TiffTags.ASCII, TiffTags.BYTE, TiffTags.UNDEFINED, None)
_NOT_PADDING = re.compile(rb"[^\x00]")


def notes_of(kind: str, image: Image.Image, data: Bytes) -> list[str]:
    """Names of the conversions that stand for something passed over."""
    notes = list(_OF[kind](image, data)) if kind in _OF else []
    if "icc_profile" in image.info and not image.info["icc_profile"]:
        notes.append("bad-icc-ignored")
    return notes


def is_sound(exif: Image.Exif) -> bool:
    """Whether no field that must hold numbers holds text: the sign of a field that was written, or hit, by mistake."""
    return not any(isinstance(value, str) and TiffTags.lookup(tag).type not in _TEXTUAL for tag, value in exif.items())


def overridden(exif: bytes, data: Bytes) -> bool:
    """Whether Pillow changed the ``exif`` data that it gives of an AVIF: it puts the container's orientation into them
    where the file's own say another."""
    return re.search(re.escape(exif[:4096]), data) is None


def trails(data: Bytes, end: int | None) -> bool:
    """Whether anything but padding stands behind the picture's ``end``."""
    return end is not None and _NOT_PADDING.search(data, end) is not None


def _jpeg(image: Image.Image, data: Bytes) -> Iterator[str]:
    end, stray, scans, profile = None, False, False, False
    for segment in blocks.jpeg_segments(data):
        stray |= segment.stray
        if segment.marker in _FRAMES and not scans and segment.marker not in _USUAL_CODINGS:
            yield "unusual-coding"
        scans |= segment.marker == blocks.SOS
        profile |= segment.marker == 0xE2 and bytes(data[segment.start + 2 : segment.start + 14]) == b"ICC_PROFILE\0"
        if segment.marker == blocks.EOI:
            end = segment.end
    if stray:
        yield "damage-skipped"
    if profile and not image.info.get("icc_profile"):
        yield "bad-icc-ignored"
    # An MPO's further pictures have a note of their own.
    if not getattr(image, "is_animated", False) and trails(data, end):
        yield "trailing-data"


def _png(image: Image.Image, data: Bytes) -> Iterator[str]:
    end, coded = None, False
    for kind, start, stop in blocks.png_chunks(data):
        if kind == b"cICP" and stop - start == 4 and stop <= len(data):
            coded = True
            if not _like_srgb(data[start], data[start + 1]):
                yield "colour-ignored"
        elif kind == b"IEND":
            end = stop + 4
    primaries = image.info.get("chromaticity")
    described = coded or "srgb" in image.info or image.info.get("icc_profile")
    if primaries and not described and not _near(primaries, SRGB_PRIMARIES):
        yield "colour-ignored"
    if trails(data, end):
        yield "trailing-data"


def _webp(image: Image.Image, data: Bytes) -> Iterator[str]:
    (size,) = struct.unpack_from("<I", data, 4)
    if trails(data, 8 + size):
        yield "trailing-data"


def _avif(image: Image.Image, data: Bytes) -> Iterator[str]:
    kinds = set()
    for kind, start, end in islice(sniff.boxes(data, 0, len(data)), blocks.MAX_PARTS):
        if kind in kinds:
            continue  # Of the first item, which is the picture; later ones are alpha, gain map, thumbnail.
        if kind == b"av1C" and end - start >= 4:
            kinds.add(kind)
            if data[start + 2] & 0x40:
                yield "16bit"
        elif kind == b"colr" and end - start >= 8 and bytes(data[start : start + 4]) == b"nclx":
            kinds.add(kind)
            primaries, transfer = struct.unpack_from(">HH", data, start + 4)
            if not image.info.get("icc_profile") and not _like_srgb(primaries, transfer):
                yield "colour-ignored"


def _like_srgb(primaries: int, transfer: int) -> bool:
    return primaries in _LIKE_SRGB["primaries"] and transfer in _LIKE_SRGB["transfer"]


def _near(found: tuple[float, ...], expected: tuple[float, ...]) -> bool:
    return len(found) == len(expected) and all(abs(a - b) < 0.005 for a, b in zip(found, expected, strict=True))


_OF = {"JPEG": _jpeg, "PNG": _png, "WEBP": _webp, "AVIF": _avif}
