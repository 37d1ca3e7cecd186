"""From whatever mode a decoder gives to opaque sRGB on a small canvas.

What must be converted first is, in horizontal bands, so that a picture at the pixel limit needs little more memory than
its own decoded pixels.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from PIL import Image, ImageCms

BAND_PIXELS = 2**20
SRGB_GAMMA = 1 / 2.2
"""The exponent that stands for sRGB's curve in a PNG."""
# Profiles that move no colour of a coarse lattice by more than this (of 255) are sRGB under another name.
SRGB_TOLERANCE = 3
GAMMA_TOLERANCE = 0.05

_TO_BYTE = [(value + 128) // 257 for value in range(65536)]
_MODES_WITH_ALPHA = ("RGBA", "LA", "PA", "RGBa", "La")
_NOTES = {"1": "grey", "L": "grey", "LA": "grey", "La": "grey", "P": "palette", "PA": "palette", "CMYK": "cmyk"}
_COLOUR_SPACES = {"L": "GRAY", "RGB": "RGB ", "CMYK": "CMYK"}


@dataclass(frozen=True, slots=True)
class Space:
    """What a file says of its colours: an ICC ``profile``, or the exponent ``gamma`` that they were stored with."""

    profile: bytes | None = None
    gamma: float | None = None

    @classmethod
    def of(cls, info: Mapping[Any, Any]) -> Self:
        """From Pillow's ``info``. A profile or an sRGB chunk counts for more than a PNG's gamma; so do browsers."""
        profile, gamma = info.get("icc_profile"), info.get("gamma")
        if profile or "srgb" in info or not gamma or abs(gamma / SRGB_GAMMA - 1) < GAMMA_TOLERANCE:
            gamma = None
        return cls(profile, gamma)


def notes_of(image: Image.Image) -> list[str]:
    """Names of the conversions that ``reduced`` and ``to_srgb`` will make of this image, profile aside."""
    notes = ["16bit"] if image.mode.startswith("I") else []
    if note := _NOTES.get(image.mode, "grey" if image.mode.startswith("I") else None):
        notes.append(note)
    if image.mode in _MODES_WITH_ALPHA or "transparency" in image.info:
        notes.append("alpha")
    return notes


def reduced(image: Image.Image, side: int) -> Image.Image:
    """``image`` on white, its long side at most ``side``, in mode L, RGB or CMYK (its profile still applies).

    Averages whole blocks of pixels: a resampling to the exact side costs several times as much, and the networks
    resample what they get anyway.
    """
    width, height = image.size
    factor = -(-max(width, height) // side)
    rows = max(1, BAND_PIXELS // width // factor) * factor
    if rows >= height or _plain(image):
        return _averaged(image, factor)
    canvas: Image.Image | None = None
    for top in range(0, height, rows):
        part = _averaged(image.crop((0, top, width, min(height, top + rows))), factor)
        canvas = canvas or Image.new(part.mode, (-(-width // factor), -(-height // factor)))
        canvas.paste(part, (0, top // factor))
    assert canvas is not None  # noqa: S101 - a picture has at least one row
    return canvas


def _averaged(image: Image.Image, factor: int) -> Image.Image:
    plain = _opaque(image)
    return plain.reduce(factor) if factor > 1 else plain


def _plain(image: Image.Image) -> bool:
    return image.mode in ("L", "RGB", "CMYK") and image.info.get("transparency") is None


def _opaque(image: Image.Image) -> Image.Image:
    """The same pixels in mode L, RGB or CMYK, transparency flattened on white."""
    transparency = image.info.get("transparency")
    if image.mode.startswith("I"):
        wide = image.convert("I")
        grey = wide.point(_TO_BYTE, "L")
        if isinstance(transparency, int):
            clear = wide.point([255 * (value == transparency) for value in range(65536)], "L")
            grey.paste(255, mask=clear)
        return grey
    if _plain(image):
        return image
    grey_base = image.mode in ("1", "L", "LA", "La")
    if image.mode in _MODES_WITH_ALPHA or transparency is not None:
        clear = image.convert("RGBA")
        canvas = Image.new("RGB", image.size, "white")
        canvas.paste(clear, mask=clear)
        return canvas.convert("L") if grey_base else canvas
    return image.convert("L" if grey_base else "RGB")


def to_srgb(image: Image.Image, space: Space) -> tuple[Image.Image, str | None]:
    """An L, RGB or CMYK image as sRGB, and what was done for that: ``icc``, ``gamma``, ``bad-icc-ignored`` or None."""
    note = None
    if space.profile:
        try:
            transform = _transform(space.profile, image.mode)
            if transform is not None:
                return ImageCms.applyTransform(image, transform) or image, "icc"
        except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
            note = "bad-icc-ignored"
    elif space.gamma:
        image, note = image.point(_curve(space.gamma) * len(image.getbands())), "gamma"
    return (image if image.mode == "RGB" else image.convert("RGB")), note


def _curve(gamma: float) -> list[int]:
    """From bytes stored with the exponent ``gamma`` to sRGB's."""
    return [round(255 * (value / 255) ** (SRGB_GAMMA / gamma)) for value in range(256)]


def _transform(profile: bytes, mode: str) -> ImageCms.ImageCmsTransform | None:
    """The way from ``profile`` to sRGB; ``None`` where it would change nothing. Raises ``ValueError`` or
    ``PyCMSError`` for a profile that is damaged or made for other channels."""
    source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
    space = source.profile.xcolor_space
    if space != _COLOUR_SPACES[mode]:
        raise ValueError(f"the profile is for {space.strip()}, the picture is {mode}")
    target = ImageCms.createProfile("sRGB")
    transform = ImageCms.buildTransform(source, target, mode, "RGB", ImageCms.Intent.PERCEPTUAL)
    if mode == "CMYK":
        return transform
    lattice = _lattice(mode)
    moved = ImageCms.applyTransform(lattice, transform)
    expected, found = lattice.convert("RGB").tobytes(), moved.tobytes() if moved else b""
    same = all(abs(a - b) <= SRGB_TOLERANCE for a, b in zip(expected, found, strict=True))
    return None if same else transform


def _lattice(mode: str) -> Image.Image:
    steps = range(0, 256, 51)
    if mode == "L":
        return Image.frombytes("L", (len(steps), 1), bytes(steps))
    colours = bytes(value for red in steps for green in steps for blue in steps for value in (red, green, blue))
    return Image.frombytes("RGB", (len(colours) // 3, 1), colours)
