"""What goes between parent and decoding child. The answer is a small JSON header, then raw pixels, in shared memory.

The child is as trustworthy as the picture it reads, so the parent believes nothing: every field is checked against the
limits, every text against a pattern, and nothing is ever unpickled.
"""

from __future__ import annotations

import errno
import json
import re
import struct
from dataclasses import dataclass
from typing import Any

from booru_ml.pipeline.images.limits import Limits
from booru_ml.pipeline.images.refusals import CODES

# Over the socket: the picture's size and whether it wants a new process; back: the wait status of the process that
# decoded it (0 while that lives on), and how many pictures it had decoded before.
REQUEST = struct.Struct("<Q?")
REPLY = struct.Struct("<iI")
SIZE = struct.Struct("<Q")
READY = b"ready"
OUT_OF_MEMORY = errno.ENOMEM
"""Exit status of a process that had too little memory left to say so."""

HEADER_BYTES = 4096
MAX_FRAMES = 3
FORMATS = ("JPEG", "PNG", "GIF", "WEBP", "AVIF")

_LENGTH = struct.Struct("<I")
_NOTE = re.compile(r"[a-z0-9-]{1,32}")
_UNPRINTABLE = re.compile(r"[^ -~]+")


@dataclass(frozen=True, slots=True)
class Header:
    """A checked answer: either ``refused`` (a code, with ``detail`` for developers) or the description of the pixels.

    ``sizes`` are (width, height) of the frames whose pixels follow the header one after the other, 3 bytes each.
    """

    refused: str = ""
    detail: str = ""
    format: str = ""
    width: int = 0
    height: int = 0
    frame_count: int = 0
    sizes: tuple[tuple[int, int], ...] = ()
    conversions: tuple[str, ...] = ()


def capacity(limits: Limits) -> int:
    """Bytes of shared memory that the largest answer takes."""
    return HEADER_BYTES + MAX_FRAMES * 3 * limits.canvas_side**2


def pack(fields: dict[str, Any]) -> bytes:
    """The header's bytes. Raises ``ValueError`` where they do not fit."""
    fields["detail"] = _UNPRINTABLE.sub("?", str(fields.get("detail", "")))[:200]
    body = json.dumps(fields).encode()
    if len(body) > HEADER_BYTES - _LENGTH.size:
        raise ValueError("The header is too long.")
    return _LENGTH.pack(len(body)) + body


def unpack(data: bytes, limits: Limits) -> Header:
    """The header in the first ``HEADER_BYTES`` of ``data``, checked. Raises ``ValueError``."""
    (length,) = _LENGTH.unpack_from(data)
    if not 0 < length <= HEADER_BYTES - _LENGTH.size:
        raise ValueError("There is no header.")
    try:
        fields = json.loads(data[_LENGTH.size : _LENGTH.size + length])
        header = Header(
            **{
                **fields,
                "sizes": tuple((w, h) for w, h in fields.get("sizes", ())),
                "conversions": tuple(fields.get("conversions", ())),
            }
        )
    except (TypeError, AttributeError, RecursionError, UnicodeDecodeError) as error:
        raise ValueError("The header has another shape.") from error
    _check(header, limits)
    return header


def _check(header: Header, limits: Limits) -> None:
    def whole(value: object, low: int, high: int) -> bool:
        return type(value) is int and low <= value <= high

    checks = [
        isinstance(header.detail, str) and len(header.detail) <= 200 and not _UNPRINTABLE.search(header.detail),
        whole(header.width, 0, 2**32),
        whole(header.height, 0, 2**32),
    ]
    if header.refused:
        checks.append(header.refused in CODES)
    else:
        checks += [
            header.format in FORMATS,
            whole(header.width, 1, limits.max_side),
            whole(header.height, 1, limits.max_side),
            whole(header.frame_count, 1, 2**32),
            1 <= len(header.sizes) <= MAX_FRAMES,
            all(whole(side, 1, limits.canvas_side) for size in header.sizes for side in size),
            len(header.conversions) <= 16,
            all(isinstance(note, str) and bool(_NOTE.fullmatch(note)) for note in header.conversions),
        ]
    if not all(checks):
        raise ValueError("The header's values are out of range.")
