"""One untrusted file to small sRGB frames, by Pillow. Runs inside the guarded child and knows nothing of Django.

Memory, time and crashes are the guard's affair (``child``); what is refused here is refused by what the file says.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import BinaryIO

from PIL import AvifImagePlugin, Image, ImageFile

from booru_ml import colour
from booru_ml.pipeline.images import animation, oddities, png, sniff
from booru_ml.pipeline.images.limits import Limits
from booru_ml.pipeline.images.refusals import Refused

FORMATS = ("JPEG", "PNG", "GIF", "WEBP", "AVIF")
ORIENTATION = 0x0112
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_WARNINGS = {
    "exif": "bad-exif-ignored",
    "truncated file read": "bad-exif-ignored",
    "mpo": "bad-mpo-ignored",
    "apng": "bad-animation-ignored",
}


@dataclass(slots=True)
class Decoded:
    """Upright sRGB frames of at most the canvas' side; ``width`` and ``height`` of the upright original."""

    format: str
    width: int
    height: int
    frame_count: int
    frames: list[Image.Image]
    conversions: list[str] = field(default_factory=list)


def prepare(limits: Limits) -> None:
    """Sets Pillow's own switches for this process (its size check is an error at twice the number; no threads), and
    loads all that decoding loads late, since a confined child can open no file."""
    ImageFile.LOAD_TRUNCATED_IMAGES = False
    AvifImagePlugin.DEFAULT_MAX_THREADS = 1
    Image.preinit()
    for kind in FORMATS:
        sample = io.BytesIO()
        Image.new("RGB", (8, 8)).save(sample, kind)
        decode(sample, memoryview(sample.getvalue()), Limits())
    Image.MAX_IMAGE_PIXELS = max(1, limits.max_pixels // 2)


def decode(file: BinaryIO, data: memoryview, limits: Limits) -> Decoded:
    """Decodes ``file``, whose content is also mapped as ``data``. Raises ``Refused``, ``MemoryError`` when the
    process's limit is met, and nothing else."""
    kind = sniff.format_of(bytes(data[:64]))
    if kind is None:
        raise Refused("format")
    canvas = sniff.canvas_of(kind, data)
    if canvas is not None:
        _check_size(canvas, limits)
    notes: list[str] = []
    with _as_refusals(notes), Image.open(file, formats=(kind,)) as image:
        assert isinstance(image, ImageFile.ImageFile)  # noqa: S101 - what Image.open gives
        decoded = _decode(image, kind, data, limits, notes)
    decoded.conversions = list(dict.fromkeys(notes))
    return decoded


def _decode(image: ImageFile.ImageFile, kind: str, data: memoryview, limits: Limits, notes: list[str]) -> Decoded:
    width, height = image.size
    _check_size(image.size, limits)
    in_time = animation.budget(limits)
    plan = animation.plan(image, kind, data, limits, in_time)
    space = colour.Space.of(image.info)
    if kind == "JPEG":
        # By half, a quarter or an eighth the decoder reduces by itself, and all the faster for it.
        scale = 1 << (-(-max(width, height) // limits.canvas_side) - 1).bit_length()
        image.draft(None, (max(1, width // scale), max(1, height // scale)))
    if kind != "PNG" or not png.fill(image, data, limits):
        image.load()
    if kind == "PNG" and sniff.png_depth(data) == 16 and not image.mode.startswith("I"):
        notes.append("16bit")
    orientation = _orientation(image, notes)
    notes += colour.notes_of(image) + plan.notes + oddities.notes_of(kind, image, data)
    if kind == "AVIF" and orientation == 1 and oddities.overridden(image.info.get("exif", b""), data):
        notes.append("orientation-ignored")
    frames: list[Image.Image] = []
    for frame in animation.frames(image, plan, in_time, notes):
        try:
            small, note = colour.to_srgb(colour.reduced(frame, limits.canvas_side), space)
        except MemoryError:
            if not frames:
                raise
            notes.append("frames-unread")
            break
        if note:
            notes.append(note)
        if orientation != 1:
            small = small.transpose(_UPRIGHT[orientation])
        elif plan.later:
            small = small.copy()  # Seeking on would change the opened image under our hands.
        frames.append(small)
    if orientation != 1:
        notes.append(f"orientation-{orientation}")
    if orientation >= 5:
        width, height = height, width
    return Decoded(kind, width, height, plan.count, frames)


def _check_size(size: tuple[int, int], limits: Limits) -> None:
    width, height = size
    if width < 1 or height < 1:
        raise Refused("corrupt", "no width or no height", width=width, height=height)
    if width * height > limits.max_pixels or max(size) > limits.max_side:
        raise Refused("too-many-pixels", f"{width}x{height}", width=width, height=height)


def _orientation(image: Image.Image, notes: list[str]) -> int:
    """EXIF's orientation, 1 (upright) to 8, wherever Pillow finds it (EXIF, XMP, AVIF's own rotation)."""
    try:
        exif = image.getexif()
        value, sound = exif.get(ORIENTATION, 1), oddities.is_sound(exif)
    except Exception:
        value, sound = 1, False
    if value not in _UPRIGHT:
        sound &= value in (0, 1, None)
        value = 1
    if not sound:
        notes.append("bad-exif-ignored")
    return int(value)


@contextmanager
def _as_refusals(notes: list[str]) -> Iterator[None]:
    """Turns whatever Pillow raises on bad bytes (OSError, ValueError, IndexError, SyntaxError, RuntimeError, …) into
    ``Refused``, and its warnings on ignored parts into notes."""
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        try:
            yield
        except (Refused, MemoryError):
            raise
        except Image.DecompressionBombError as error:
            raise Refused("too-many-pixels", str(error)) from error
        except Exception as error:
            if "memory" in str(error).lower():
                raise MemoryError(str(error)) from error
            raise Refused("corrupt", f"{type(error).__name__}: {error}") from error
        for warning in heard:
            text = str(warning.message).lower()
            notes += [note for word, note in _WARNINGS.items() if word in text]
