"""Pictures with known face boxes, composed from drawings whose boxes are known and from plain face crops."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from booru_ml.errors import InvalidInput
from booru_ml.nn.survey import read_picture
from booru_ml.training.manifest import boxes, rows
from booru_ml.types import Box, PixelArray

CANVAS = 320
"""Long side of a scene, in pixels."""
LARGEST_SHEET = 512
SMALLEST_FACE = 0.07
"""Share of the scene's longer side; smaller faces are painted over rather than taught."""


@dataclass(frozen=True, slots=True)
class Drawing:
    """A picture whose faces are all known."""

    path: Path
    faces: tuple[Box, ...]


@dataclass(frozen=True, slots=True)
class Scene:
    """One training picture, H×W×3 uint8, with the boxes (fractions) of its faces."""

    pixels: PixelArray
    faces: tuple[Box, ...]


def drawings(folder: Path) -> list[Drawing]:
    """From a manifest with the columns ``path`` and ``faces`` (``x y width height`` as fractions, joined by ``;``)."""
    return [Drawing(path, boxes(row["faces"], where)) for path, row, where in rows(folder, "faces")]


class Composer:
    """Endless scenes: zoomed parts of drawings, collages of several, crops pasted on made backgrounds, and decoys.

    ``crops`` are pictures that a face fills. Deterministic by ``seed``.
    """

    def __init__(self, known: Sequence[Drawing], crops: Sequence[Path], *, seed: int = 0) -> None:
        if not known and not crops:
            raise InvalidInput("Scenes need drawings with known faces, or face crops.")
        self._known, self._crops = known, crops
        self._rng = np.random.default_rng(seed)

    def scenes(self, count: int) -> Iterator[Scene]:
        kinds = (self._part, self._collage) if self._known else ()
        pasted = (self._pasted, self._filled) if self._crops else ()
        weights = np.array([0.34, 0.16][: len(kinds)] + [0.38, 0.12][: len(pasted)])
        for _ in range(count):
            make = (*kinds, *pasted)[self._rng.choice(len(weights), p=weights / weights.sum())]
            image, faces = make()
            yield self._finished(image, faces)

    def _drawing(self) -> tuple[Image.Image, list[Box]]:
        known = self._known[int(self._rng.integers(len(self._known)))]
        return _sheet(known.path), list(known.faces)

    def _part(self) -> tuple[Image.Image, list[Box]]:
        """A window of a drawing, from its whole down to a third, wherever it falls."""
        image, faces = self._drawing()
        if self._rng.random() < 0.4:
            return image, faces
        share = self._rng.uniform(0.35, 1.0, 2)
        size = (share * image.size).astype(int)
        corner = (self._rng.random(2) * (np.array(image.size) - size)).astype(int)
        window = Box(*(corner / image.size), *(size / image.size))
        image = image.crop((*corner, *(corner + size)))
        return self._keep(image, [_seen_through(face, window) for face in faces])

    def _collage(self) -> tuple[Image.Image, list[Box]]:
        columns, rows = ((2, 1), (3, 1), (2, 2), (1, 2))[self._rng.integers(4)]
        sheet = Image.new("RGB", (160 * columns, 200 * rows), "white")
        faces = []
        for place in range(columns * rows):
            image, own = self._part()
            left, top = place % columns, place // columns
            sheet.paste(image.resize((160, 200)), (160 * left, 200 * top))
            faces += [
                Box((left + face.x) / columns, (top + face.y) / rows, face.width / columns, face.height / rows)
                for face in own
            ]
        return sheet, faces

    def _pasted(self) -> tuple[Image.Image, list[Box]]:
        """Crops, softly cut out, on a background; a third of what is pasted is no face."""
        sheet = self._background()
        faces: list[Box] = []
        taken: list[tuple[int, int, int]] = []
        for _ in range(self._rng.integers(1, 6)):
            side = int(max(sheet.size) * np.exp(self._rng.uniform(np.log(0.09), np.log(0.75))))
            x, y = (int(self._rng.uniform(-0.1, 1.1) * (total - side)) for total in sheet.size)
            if any(abs(x - a) < (side + s) / 2 and abs(y - b) < (side + s) / 2 for a, b, s in taken):
                continue
            taken.append((x, y, side))
            decoy = self._rng.random() < 0.33
            patch = self._decoy() if decoy else self._crop()
            sheet.paste(patch.resize((side, side), Image.Resampling.BILINEAR), (x, y), self._mask(side))
            box = _clipped(Box(x / sheet.width, y / sheet.height, side / sheet.width, side / sheet.height))
            if not decoy and box is not None:
                faces.append(box)
        return sheet, faces

    def _filled(self) -> tuple[Image.Image, list[Box]]:
        """One crop that fills the picture or most of it."""
        image = self._crop().resize((CANVAS, CANVAS), Image.Resampling.BILINEAR)
        if self._rng.random() < 0.5:
            return image, [Box(0, 0, 1, 1)]
        share = self._rng.uniform(0.75, 0.98)
        side = int(CANVAS * share)
        x, y = (int(self._rng.random() * (CANVAS - side)) for _ in range(2))
        sheet = self._background().resize((CANVAS, CANVAS))
        sheet.paste(image.resize((side, side)), (x, y), self._mask(side))
        return sheet, [Box(x / CANVAS, y / CANVAS, share, share)]

    def _crop(self) -> Image.Image:
        image = _sheet(self._crops[int(self._rng.integers(len(self._crops)))])
        return image.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if self._rng.random() < 0.5 else image

    def _decoy(self) -> Image.Image:
        """Something of the same matter that is no face: a corner of a crop, one upside down, a part without a face."""
        choice = self._rng.random()
        if self._known and choice < 0.6:
            image, faces = self._drawing()
            size = np.array(image.size)
            for _ in range(8):
                side = int(self._rng.uniform(0.15, 0.5) * size.min())
                x, y = (self._rng.random(2) * (size - side)).astype(int)
                window = Box(x / size[0], y / size[1], side / size[0], side / size[1])
                if all(_clipped(_seen_through(face, window)) is None for face in faces):
                    return image.crop((x, y, x + side, y + side))
        image = self._crop()
        third = image.width // 3
        x, y = (int(self._rng.integers(2)) * (image.width - third) for _ in range(2))
        return image.crop((x, y, x + third, y + third))

    def _background(self) -> Image.Image:
        width, height = (int(side) for side in self._rng.integers(CANVAS // 2, CANVAS + 1, 2))
        if self._rng.random() < 0.3:
            return Image.new("RGB", (width, height), self._colour())
        if self._rng.random() < 0.4:
            return self._decoy().resize((width, height), Image.Resampling.BILINEAR)
        corners = self._rng.integers(0, 256, (2, 2, 3)).astype(np.uint8)
        sheet = Image.fromarray(corners).resize((width, height), Image.Resampling.BILINEAR)
        pen = ImageDraw.Draw(sheet)
        for _ in range(self._rng.integers(0, 12)):
            points = [tuple(point) for point in (self._rng.random((4, 2)) * (width, height)).tolist()]
            if self._rng.random() < 0.5:
                pen.line(points, fill=self._colour(), width=int(self._rng.integers(1, 8)))
            else:
                pen.polygon(points, fill=self._colour(), outline=self._colour())
        return sheet

    def _colour(self) -> tuple[int, int, int]:
        red, green, blue = (int(value) for value in self._rng.integers(0, 256, 3))
        return (255, 255, 255) if self._rng.random() < 0.3 else (red, green, blue)

    def _mask(self, side: int) -> Image.Image:
        """Where a patch covers: all of it, or a rounded cut with a soft edge, so that no frame gives a face away."""
        if self._rng.random() < 0.25:
            return Image.new("L", (side, side), 255)
        mask = Image.new("L", (side, side), 0)
        inset = self._rng.uniform(-0.12, 0.03, 4) * side
        shape = (inset[0], inset[1], side - inset[2], side - inset[3])
        ImageDraw.Draw(mask).rounded_rectangle(shape, radius=self._rng.uniform(0.2, 0.6) * side, fill=255)
        return mask.filter(ImageFilter.GaussianBlur(self._rng.uniform(0.5, 0.06 * side + 1)))

    def _keep(self, image: Image.Image, faces: Sequence[Box]) -> tuple[Image.Image, list[Box]]:
        """Faces that are seen; those cut in half or too small are painted over, for they teach neither yes nor no."""
        kept, pen = [], ImageDraw.Draw(image)
        for face in faces:
            box = _clipped(face)
            if box is not None and max(box.width, box.height) >= SMALLEST_FACE:
                kept.append(box)
            elif face.x < 1 and face.y < 1 and face.x + face.width > 0 and face.y + face.height > 0:
                x, y = face.x * image.width, face.y * image.height
                pen.rectangle((x, y, x + face.width * image.width, y + face.height * image.height), fill=self._colour())
        return image, kept

    def _finished(self, image: Image.Image, faces: list[Box]) -> Scene:
        if self._rng.random() < 0.2:
            image = image.convert("L").convert("RGB")
        if self._rng.random() < 0.5:
            image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
            faces = [Box(1 - face.x - face.width, face.y, face.width, face.height) for face in faces]
        scale = CANVAS / max(image.size)
        size = (max(8, round(image.width * scale)), max(8, round(image.height * scale)))
        return Scene(np.asarray(image.convert("RGB").resize(size, Image.Resampling.BILINEAR)), tuple(faces))


@lru_cache(maxsize=2048)
def _sheet(path: Path) -> Image.Image:
    """A picture at a size that its parts can still be shown from; kept, as scenes come back to it."""
    image = Image.fromarray(read_picture(path))
    image.thumbnail((LARGEST_SHEET, LARGEST_SHEET))
    return image


def _seen_through(face: Box, window: Box) -> Box:
    """The face's box as fractions of a window; may reach out of it."""
    return Box(
        (face.x - window.x) / window.width,
        (face.y - window.y) / window.height,
        face.width / window.width,
        face.height / window.height,
    )


def _clipped(face: Box, least: float = 0.55) -> Box | None:
    """The part of the box inside the picture, None where less than ``least`` of it is."""
    left, top = max(0.0, face.x), max(0.0, face.y)
    right, bottom = min(1.0, face.x + face.width), min(1.0, face.y + face.height)
    if right <= left or bottom <= top:
        return None
    if (right - left) * (bottom - top) < least * face.width * face.height:
        return None
    return Box(left, top, right - left, bottom - top)
