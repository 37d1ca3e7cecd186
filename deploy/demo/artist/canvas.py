"""Pencil and brush: shapes in head radii put onto pixels, in one hand and one state of finish."""

from __future__ import annotations

import itertools
from enum import StrEnum

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFilter

from deploy.demo.artist.cast import Colour
from deploy.demo.artist.hands import Hand

Points = npt.NDArray[np.float64]
SUPERSAMPLE = 2


class Finish(StrEnum):
    """States of a picture, best first; as sketches the last three are graded good, middling and poor."""

    FINISHED = "finished"
    SKETCH = "sketch"
    ROUGH = "rough"
    POOR = "poor"


# How far a stroke strays (head radii), how often it is drawn over, and the share of it that is missing.
_STRAY = {Finish.FINISHED: 0.0, Finish.SKETCH: 0.006, Finish.ROUGH: 0.030, Finish.POOR: 0.065}
_STROKES = {Finish.FINISHED: 1, Finish.SKETCH: 1, Finish.ROUGH: 3, Finish.POOR: 2}
_GAPS = {Finish.FINISHED: 0.0, Finish.SKETCH: 0.0, Finish.ROUGH: 0.12, Finish.POOR: 0.30}


def smooth(points: Points, *, closed: bool, steps: int = 12) -> Points:
    """A Catmull-Rom curve (N·steps, 2) through ``points`` (N, 2)."""
    if len(points) < 3:
        return points
    padded = np.concatenate([points[-1:], points, points[:2]] if closed else [points[:1], points, points[-1:]])
    before, start, end, after = padded[:-3], padded[1:-2], padded[2:-1], padded[3:]
    t = np.linspace(0, 1, steps, endpoint=False)[None, :, None]
    curve = 0.5 * (
        2 * start[:, None]
        + (end - before)[:, None] * t
        + (2 * before - 5 * start + 4 * end - after)[:, None] * t**2
        + (3 * start - before - 3 * end + after)[:, None] * t**3
    )
    flat = curve.reshape(-1, 2)
    return flat if closed else np.concatenate([flat, points[-1:]])


def ellipse(x: float, y: float, width: float, height: float, n: int = 40) -> Points:
    """An ellipse by centre and radii."""
    t = np.linspace(0, 2 * np.pi, n, endpoint=False)
    return np.stack([x + width * np.cos(t), y + height * np.sin(t)], axis=1)


class Canvas:
    """A sheet of ``size`` pixels on which a head of ``radius`` pixels stands at ``origin``, turned by ``tilt`` rad."""

    def __init__(self, size: tuple[int, int], hand: Hand, finish: Finish, rng: np.random.Generator) -> None:
        self.size = (size[0] * SUPERSAMPLE, size[1] * SUPERSAMPLE)
        self.hand, self.finish, self.rng = hand, finish, rng
        self.image = Image.new("RGB", self.size, "white")
        self.draw = ImageDraw.Draw(self.image)
        self.radius, self.origin, self.tilt, self.mirror = 100.0, np.zeros(2), 0.0, 1.0

    def place(self, *, x: float, y: float, radius: float, tilt: float = 0.0, mirror: bool = False) -> None:
        """Sets where the next head stands, in output pixels."""
        self.origin = np.array([x, y]) * SUPERSAMPLE
        self.radius, self.tilt, self.mirror = radius * SUPERSAMPLE, tilt, -1.0 if mirror else 1.0

    def pixels(self, points: Points) -> Points:
        """Head radii (N, 2) → supersampled pixels (N, 2)."""
        cos, sin = np.cos(self.tilt), np.sin(self.tilt)
        turned = (points * [self.mirror, 1.0]) @ np.array([[cos, sin], [-sin, cos]])
        return np.asarray(turned * self.radius + self.origin)

    @property
    def coloured(self) -> bool:
        return self.finish is Finish.FINISHED

    def fill(self, points: Points, colour: Colour, *, shade: bool = False) -> None:
        """A filled shape; sketches leave it paper-white so that what lies behind is covered."""
        outline = [tuple(point) for point in self.pixels(points)]
        if not self.coloured:
            self.draw.polygon(outline, fill=(255, 255, 255))
            return
        self.draw.polygon(outline, fill=self.tint(colour))
        if shade and self.hand.shading != "flat":
            self._shade(outline, colour)

    def shape(self, points: Points, colour: Colour, *, shade: bool = False, line: float = 1.0) -> None:
        """A filled shape with its outline."""
        self.fill(points, colour, shade=shade)
        self.stroke(np.concatenate([points, points[:1]]), weight=line)

    def stroke(self, points: Points, *, weight: float = 1.0, colour: Colour | None = None) -> None:
        """A line in the artist's hand: wobbling, tapering, drawn over and broken as the finish has it."""
        ink = colour or self.hand.ink
        if not self.coloured:
            grey = {Finish.SKETCH: 40, Finish.ROUGH: 90, Finish.POOR: 110}[self.finish]
            ink = (grey, grey, grey)
        for _ in range(_STROKES[self.finish]):
            path = self.pixels(points + self._stray(len(points)))
            width = self.hand.line * weight * self.radius * self.rng.uniform(0.85, 1.15)
            if not self.coloured:
                width *= 0.6
            self._line(path, ink, max(width, 1.0))

    def tint(self, colour: Colour) -> Colour:
        """A colour as this artist mixes it: saturation, contrast, warmth."""
        value = np.array(colour, dtype=float)
        grey = value.mean()
        value = grey + (value - grey) * self.hand.saturation
        value = 128 + (value - 128) * self.hand.contrast
        value += np.array([80, 20, -80]) * self.hand.warmth
        red, green, blue = np.clip(value, 0, 255).astype(int)
        return int(red), int(green), int(blue)

    def finished_image(self) -> Image.Image:
        """The sheet at output size, with the paper's grain."""
        width, height = self.size[0] // SUPERSAMPLE, self.size[1] // SUPERSAMPLE
        image = self.image.resize((width, height), Image.Resampling.BOX)
        grain = self.hand.grain if self.coloured else self.hand.grain / 2
        if grain:
            noise = self.rng.normal(0, grain, (height, width, 1))
            image = Image.fromarray(np.clip(np.asarray(image) + noise, 0, 255).astype(np.uint8))
        return image

    def _stray(self, count: int) -> Points:
        """Slow random wandering of a stroke, (count, 2) in head radii."""
        amount = self.hand.wobble + _STRAY[self.finish]
        knots = max(2, count // 10)
        wander = self.rng.normal(0, amount, (knots, 2))
        at = np.linspace(0, knots - 1, count)
        return np.stack([np.interp(at, np.arange(knots), wander[:, axis]) for axis in (0, 1)], axis=1)

    def _line(self, path: Points, ink: Colour, width: float) -> None:
        if self.hand.taper == 0 and _GAPS[self.finish] == 0:
            self.draw.line([tuple(point) for point in path], fill=ink, width=round(width), joint="curve")
            return
        along = np.linspace(0, np.pi, len(path) - 1)
        widths = width * (1 - self.hand.taper * (1 - np.sin(along)))
        broken = self.rng.random(len(path) // 6 + 1) < _GAPS[self.finish]
        for index, (start, end) in enumerate(itertools.pairwise(path)):
            if not broken[index // 6]:
                self.draw.line([tuple(start), tuple(end)], fill=ink, width=max(1, round(widths[index])))

    def _shade(self, outline: list[tuple[float, ...]], colour: Colour) -> None:
        """The shadow side of a shape: a hard edge, a soft one, or hatching, inside its outline only."""
        xs, ys = [point[0] for point in outline], [point[1] for point in outline]
        left, top = max(0, int(min(xs))), max(0, int(min(ys)))
        right, bottom = min(self.size[0], int(max(xs)) + 1), min(self.size[1], int(max(ys)) + 1)
        if right - left < 4 or bottom - top < 4:
            return
        inside = Image.new("L", (right - left, bottom - top), 0)
        ImageDraw.Draw(inside).polygon([(x - left, y - top) for x, y in outline], fill=255)
        shift = (right - left) * 0.22
        shadow = inside.copy()
        ImageDraw.Draw(shadow).polygon([(x - left - shift, y - top - shift * 0.4) for x, y in outline], fill=0)
        if self.hand.shading == "soft":
            shadow = shadow.filter(ImageFilter.GaussianBlur(max(2.0, shift * 0.5)))
        elif self.hand.shading == "hatch":
            lines = Image.new("L", shadow.size, 0)
            pen = ImageDraw.Draw(lines)
            for offset in range(-shadow.size[1], shadow.size[0], max(5, int(self.radius * 0.05))):
                pen.line([(offset, shadow.size[1]), (offset + shadow.size[1], 0)], fill=255, width=2)
            shadow = Image.composite(lines, Image.new("L", shadow.size, 0), shadow)
        mask = Image.composite(shadow, Image.new("L", shadow.size, 0), inside).point(lambda value: int(value * 0.45))
        dark = self.tint((int(colour[0] * 0.45), int(colour[1] * 0.38), int(colour[2] * 0.6)))
        self.image.paste(Image.new("RGB", shadow.size, dark), (left, top), mask)
