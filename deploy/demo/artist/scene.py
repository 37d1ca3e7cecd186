"""A whole picture: one or more figures before a background."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from booru_ml.types import Box
from deploy.demo.artist import cast as casting
from deploy.demo.artist.canvas import SUPERSAMPLE, Canvas, Finish, ellipse
from deploy.demo.artist.cast import Colour
from deploy.demo.artist.figure import Pose, draw_figure
from deploy.demo.artist.hands import hand

# Head radius as a share of the sheet's shorter side, and the head's height on the sheet: bust, half figure, whole.
_FRAMINGS = ((0.26, 0.42), (0.16, 0.30), (0.085, 0.16))
_FACE_HALF = 1.05


@dataclass(frozen=True, slots=True)
class Drawing:
    """A picture with the truth about it: who, by whom, how finished, where the faces are (left to right)."""

    image: Image.Image
    characters: tuple[str, ...]
    artist: str
    finish: Finish
    faces: tuple[Box, ...]

    @property
    def character(self) -> str:
        return self.characters[0]


def draw(
    *,
    character: int | Sequence[int],
    pose: int = 0,
    artist: int = 0,
    finish: str = Finish.FINISHED,
    costume: int = 0,
    size: tuple[int, int] = (768, 1024),
    seed: int = 0,
) -> Drawing:
    """Draws one picture. Deterministic; ``pose`` varies everything that a character may change.

    ``size`` is (width, height) in pixels; several character numbers give a group, left to right.
    """
    cast = [character] if isinstance(character, int) else list(character)
    state = Finish(finish)
    rng = np.random.default_rng([seed, pose, artist, costume, list(Finish).index(state), *cast])
    sheet = Canvas(size, hand(artist), state, rng)
    if state is Finish.FINISHED:
        _background(sheet, rng)
    faces = []
    for place, number in enumerate(cast):
        who = casting.character(number)
        faces.append(_stand(sheet, rng, place, len(cast)))
        crooked = float(rng.normal(0, 0.16)) if state is Finish.POOR else 0.0
        draw_figure(sheet, who, who.costumes[costume % len(who.costumes)], _pose(rng, crooked))
        if state in (Finish.ROUGH, Finish.POOR):
            _construction_lines(sheet)
    if state is Finish.POOR:
        _scribble(sheet, rng)
    return Drawing(
        image=sheet.finished_image(),
        characters=tuple(casting.character(number).name for number in cast),
        artist=sheet.hand.name,
        finish=state,
        faces=tuple(faces),
    )


def _pose(rng: np.random.Generator, crooked: float) -> Pose:
    return Pose(
        turn=float(rng.uniform(-1, 1)),
        mouth=int(rng.integers(4)),
        arms=int(rng.integers(4)),
        lids=float(rng.choice([1.0, 1.0, 0.9, 0.7, 0.1])),
        crooked=crooked,
    )


def _stand(sheet: Canvas, rng: np.random.Generator, place: int, count: int) -> Box:
    """Places the next figure and returns its face's box."""
    width, height = (side // SUPERSAMPLE for side in sheet.size)
    radius_share, head_height = _FRAMINGS[int(rng.integers(len(_FRAMINGS)))]
    column = width / count
    radius = min(width / count, height) * radius_share * rng.uniform(0.9, 1.15)
    x = column * (place + 0.5) + column * rng.uniform(-0.08, 0.08)
    y = height * head_height * rng.uniform(0.92, 1.08)
    sheet.place(x=x, y=y, radius=radius, tilt=float(rng.normal(0, 0.12)), mirror=bool(rng.random() < 0.5))
    left, right = max(0.0, x - _FACE_HALF * radius), min(float(width), x + _FACE_HALF * radius)
    top, bottom = max(0.0, y - _FACE_HALF * radius), min(float(height), y + _FACE_HALF * radius)
    return Box(left / width, top / height, (right - left) / width, (bottom - top) / height)


def _background(sheet: Canvas, rng: np.random.Generator) -> None:
    """Sky, room or pattern behind the figures, full sheet."""
    width, height = sheet.size
    upper, lower = (sheet.tint(_random_colour(rng)) for _ in range(2))
    ramp = np.linspace(0, 1, height)[:, None, None]
    sheet.image.paste(
        Image.fromarray(
            np.broadcast_to(np.array(upper) * (1 - ramp) + np.array(lower) * ramp, (height, width, 3)).astype(np.uint8)
        )
    )
    kind = int(rng.integers(4))
    sheet.place(x=0, y=0, radius=width / SUPERSAMPLE / 10)
    colour = _random_colour(rng)
    if kind == 0:
        for _ in range(12):
            x, y, size = rng.uniform(0, 10), rng.uniform(0, 10 * height / width), rng.uniform(0.2, 1.2)
            sheet.fill(ellipse(x, y, size, size), colour)
    elif kind == 1:
        for x in np.arange(0.0, 10.0, rng.uniform(0.8, 2.0)):
            sheet.fill(np.array([(x, 0), (x + 0.5, 0), (x + 0.5, 30), (x, 30)]), colour)
    elif kind == 2:
        horizon = 10 * height / width * rng.uniform(0.5, 0.8)
        hills = np.array([(x, horizon + np.sin(x * 1.3 + rng.random()) * 0.5) for x in np.linspace(-1, 11, 30)])
        sheet.fill(np.concatenate([hills, [(11, 40), (-1, 40)]]), colour)


def _random_colour(rng: np.random.Generator) -> Colour:
    red, green, blue = rng.integers(120, 250, 3)
    return int(red), int(green), int(blue)


def _construction_lines(sheet: Canvas) -> None:
    """The circle and cross that a sketch is built on."""
    sheet.stroke(ellipse(0, -0.1, 1.0, 1.0), weight=0.5)
    sheet.stroke(np.array([(0.0, y) for y in np.linspace(-1.4, 1.4, 20)]), weight=0.4)
    sheet.stroke(np.array([(x, 0.1) for x in np.linspace(-1.2, 1.2, 20)]), weight=0.4)


def _scribble(sheet: Canvas, rng: np.random.Generator) -> None:
    """Stray strokes over a poor sketch."""
    for _ in range(int(rng.integers(4, 9))):
        start = rng.uniform(-2, 2, 2)
        path = start + np.cumsum(rng.normal(0, 0.18, (24, 2)), axis=0)
        sheet.stroke(path, weight=0.8)
