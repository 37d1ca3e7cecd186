"""One figure, from back hair to the highlight in its eyes; all lengths in head radii around the face's centre."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from deploy.demo.artist.canvas import Canvas, Points, ellipse, smooth
from deploy.demo.artist.cast import Character, Colour, Costume

WHITE: Colour = (255, 255, 255)


@dataclass(frozen=True, slots=True)
class Pose:
    """What changes from picture to picture. ``turn`` −1…1, ``mouth`` 0–3, ``arms`` 0–3, ``lids`` 0 (shut) … 1."""

    turn: float
    mouth: int
    arms: int
    lids: float
    crooked: float = 0.0


def draw_figure(canvas: Canvas, who: Character, costume: Costume, pose: Pose) -> None:
    """Draws ``who`` where the canvas is placed."""
    _back_hair(canvas, who)
    _body(canvas, who, costume, pose)
    _face(canvas, who, pose)
    _front_hair(canvas, who, pose)
    _extra(canvas, who)


def _points(*pairs: tuple[float, float]) -> Points:
    return np.array(pairs, dtype=float)


def _mirrored(half: Points) -> Points:
    """A closed outline from its left half, top to bottom."""
    return np.concatenate([half, half[::-1] * [-1, 1]])


def _curve(*pairs: tuple[float, float]) -> Points:
    return smooth(_points(*pairs), closed=False)


def _blob(*pairs: tuple[float, float]) -> Points:
    return smooth(_points(*pairs), closed=True)


def _back_hair(canvas: Canvas, who: Character) -> None:
    length = {"bob": 1.15, "long": 3.0, "twintails": 0.9, "ponytail": 0.9, "short": 0.7, "braids": 0.9}[who.hair_shape]
    wide = {"bob": 1.32, "long": 1.25}.get(who.hair_shape, 1.12)
    half = smooth(
        _points((0, -1.30), (-0.8, -1.05), (-wide, -0.2), (-wide * 1.02, length * 0.6), (-wide * 0.8, length)),
        closed=False,
    )
    canvas.shape(_mirrored(half), who.hair, shade=True)
    if who.hair_shape == "twintails":
        for side in (-1, 1):
            tail = _blob((0.95, -0.7), (1.7, -0.5), (2.0, 0.8), (1.55, 2.5), (1.35, 1.2), (1.1, 0.1)) * [side, 1]
            canvas.shape(tail, who.hair, shade=True)
            canvas.shape(ellipse(side * 1.05, -0.62, 0.2, 0.26), who.extra_colour)
    elif who.hair_shape == "ponytail":
        canvas.shape(
            _blob((0.2, -1.2), (1.2, -1.4), (1.9, -0.3), (1.7, 1.6), (1.3, 0.4), (0.8, -0.6)), who.hair, shade=True
        )
        canvas.shape(ellipse(0.55, -1.15, 0.2, 0.16), who.extra_colour)
    elif who.hair_shape == "braids":
        for side in (-1, 1):
            for step in range(5):
                canvas.shape(ellipse(side * (1.0 + 0.05 * step), 0.75 + 0.38 * step, 0.24, 0.26), who.hair)
            canvas.shape(ellipse(side * 1.22, 2.7, 0.16, 0.14), who.extra_colour)


def _body(canvas: Canvas, who: Character, costume: Costume, pose: Pose) -> None:
    canvas.shape(_blob((-0.25, 0.7), (0.25, 0.7), (0.28, 1.5), (-0.28, 1.5)), who.skin)
    lower = {"dress": 1.9, "kimono": 1.3, "sailor": 1.0, "hoodie": 1.2, "armour": 1.15, "jacket": 1.05}[costume.cut]
    torso = smooth(_points((-0.3, 1.15), (-1.0, 1.4), (-1.05, 2.2), (-0.85, 3.2), (-lower, 5.2)), closed=False)
    for side in (-1, 1):
        _arm(canvas, who, costume, pose.arms if side > 0 else (pose.arms + 1) % 4, side)
    canvas.shape(_mirrored(torso), costume.main, shade=True)
    _trim(canvas, costume)
    for side in (-1, 1):
        leg = _points((0.12, 5.1), (0.72, 5.1), (0.6, 8.6), (0.2, 8.6)) * [side, 1]
        canvas.shape(leg, who.skin if costume.cut in ("dress", "sailor") else costume.trim, shade=True)
        canvas.shape(_blob((0.1, 8.5), (0.65, 8.5), (0.85, 9.0), (0.1, 9.0)) * [side, 1], costume.trim)


def _arm(canvas: Canvas, who: Character, costume: Costume, arms: int, side: int) -> None:
    elbow, wrist = (
        ((1.35, 2.8), (1.2, 4.3)),
        ((1.7, 2.6), (0.9, 3.4)),
        ((1.8, 1.9), (2.1, 0.5)),
        ((1.6, 2.7), (2.4, 3.3)),
    )[arms]
    spine = np.array([(0.9, 1.6), elbow, wrist]) * [side, 1]
    path = smooth(spine, closed=False)
    normal = np.gradient(path, axis=0)[:, ::-1] * [-1, 1]
    normal /= np.linalg.norm(normal, axis=1, keepdims=True) + 1e-9
    width = np.linspace(0.30, 0.19, len(path))[:, None]
    canvas.shape(np.concatenate([path + normal * width, (path - normal * width)[::-1]]), costume.main, shade=True)
    canvas.shape(ellipse(float(spine[-1, 0]), float(spine[-1, 1]), 0.23, 0.23), who.skin)


def _trim(canvas: Canvas, costume: Costume) -> None:
    main, trim = costume.main, costume.trim
    if costume.cut == "sailor":
        canvas.shape(_points((-0.75, 1.3), (0.75, 1.3), (0, 2.3)), trim)
        canvas.shape(_blob((0, 2.2), (-0.35, 2.0), (-0.4, 2.5), (0, 2.35), (0.4, 2.5), (0.35, 2.0)), main)
        canvas.shape(_mirrored(_points((-0.9, 3.2), (-1.3, 5.2))), trim)
        for x in (-0.8, -0.4, 0.0, 0.4, 0.8):
            canvas.stroke(_points((x * 0.8, 3.3), (x * 1.2, 5.1)), weight=0.6)
    elif costume.cut == "dress":
        for y in (3.4, 4.1, 4.8):
            canvas.stroke(_curve((-0.9 - (y - 3.2) * 0.5, y), (0, y + 0.25), (0.9 + (y - 3.2) * 0.5, y)), colour=trim)
        canvas.shape(_mirrored(_points((-0.45, 1.2), (-0.3, 1.75))), trim)
        for x in (-0.5, 0.0, 0.5):
            canvas.shape(ellipse(x * 1.4, 4.45, 0.13, 0.13), trim, line=0.4)
    elif costume.cut == "hoodie":
        canvas.shape(_blob((-0.7, 1.1), (0.7, 1.1), (0.5, 1.65), (-0.5, 1.65)), trim)
        canvas.shape(_blob((-0.6, 3.0), (0.6, 3.0), (0.75, 3.8), (-0.75, 3.8)), trim)
        for side in (-0.2, 0.2):
            canvas.stroke(_points((side, 1.6), (side * 1.3, 2.4)), weight=0.8)
    elif costume.cut == "armour":
        canvas.shape(_blob((-0.8, 1.5), (0, 1.3), (0.8, 1.5), (0.6, 2.7), (0, 3.0), (-0.6, 2.7)), trim, shade=True)
        for side in (-1, 1):
            canvas.shape(ellipse(side * 1.1, 1.55, 0.45, 0.35), trim, shade=True)
        canvas.stroke(_points((0, 1.4), (0, 2.9)))
    elif costume.cut == "kimono":
        canvas.shape(_points((-0.6, 1.15), (-0.25, 1.15), (0.35, 3.0), (0.0, 3.0)), trim)
        canvas.shape(_points((0.6, 1.15), (0.25, 1.15), (-0.35, 3.0), (0.0, 3.0)), trim)
        canvas.shape(_points((-0.9, 2.9), (0.9, 2.9), (0.9, 3.6), (-0.9, 3.6)), trim)
    else:
        canvas.shape(_points((-0.25, 1.3), (0.25, 1.3), (0.2, 5.0), (-0.2, 5.0)), trim)
        for y in (2.0, 2.7, 3.4):
            canvas.shape(ellipse(0, y, 0.08, 0.08), main, line=0.5)


def _face(canvas: Canvas, who: Character, pose: Pose) -> None:
    chin = canvas.hand.chin
    half = smooth(
        _points((0, -1.0), (-0.72, -0.75), (-0.95, -0.05), (-0.82, 0.45), (-0.38, 0.85), (0, 1.02 * chin)), closed=False
    )
    canvas.shape(_mirrored(half), who.skin, shade=True)
    shift = 0.16 * pose.turn
    for side in (-1, 1):
        lop = pose.crooked * side
        _eye(
            canvas,
            who,
            x=side * 0.42 + shift,
            y=0.12 + lop,
            size=canvas.hand.eye_size * (1 + lop),
            pose=pose,
            side=side,
        )
        brow = _curve((side * 0.22 + shift, -0.28), (side * 0.45 + shift, -0.36 + lop), (side * 0.68 + shift, -0.27))
        canvas.stroke(brow, weight=0.9)
        if canvas.coloured:
            canvas.fill(ellipse(side * 0.55 + shift, 0.50, 0.17, 0.08), (255, 170, 160))
    canvas.stroke(_curve((shift * 1.4, 0.38), (shift * 1.4 + 0.04, 0.46), (shift * 1.4 - 0.02, 0.48)), weight=0.6)
    _mouth(canvas, pose, shift * 1.2)


def _eye(canvas: Canvas, who: Character, *, x: float, y: float, size: float, pose: Pose, side: int) -> None:
    width, height = 0.25 * size, 0.30 * size * pose.lids
    if pose.lids > 0.25:
        canvas.fill(ellipse(x, y, width, height), WHITE)
        gaze = x + 0.06 * pose.turn
        canvas.shape(ellipse(gaze, y + 0.02, width * 0.72, height * 0.9), who.eyes, line=0.5)
        dark: Colour = (who.eyes[0] // 3, who.eyes[1] // 3, who.eyes[2] // 3)
        canvas.fill(ellipse(gaze, y - 0.02, width * 0.35, height * 0.5), dark)
        if not canvas.coloured:
            canvas.stroke(ellipse(gaze, y, width * 0.3, height * 0.4), weight=1.2)
        canvas.fill(ellipse(gaze - 0.07, y - height * 0.45, width * 0.26, height * 0.24), WHITE)
    lash = _curve(
        (x - width * 1.1, y - height * 0.3), (x, y - height * 1.08), (x + width * 1.1, y - height * 0.3 + 0.04 * side)
    )
    canvas.stroke(lash, weight=2.0)


def _mouth(canvas: Canvas, pose: Pose, x: float) -> None:
    y = 0.68
    if pose.mouth == 0:
        canvas.stroke(_curve((x - 0.16, y), (x, y + 0.06), (x + 0.16, y)))
    elif pose.mouth == 1:
        canvas.shape(_blob((x - 0.18, y - 0.03), (x + 0.18, y - 0.03), (x, y + 0.17)), (190, 70, 80))
    elif pose.mouth == 2:
        canvas.stroke(_curve((x - 0.14, y + 0.03), (x, y - 0.04), (x + 0.14, y + 0.03)))
    else:
        canvas.shape(ellipse(x, y + 0.02, 0.07, 0.09), (190, 70, 80))


def _front_hair(canvas: Canvas, who: Character, pose: Pose) -> None:
    tips = {
        "straight": [(-0.95, 0.1), (-0.8, -0.25), (-0.4, -0.28), (0.0, -0.27), (0.4, -0.28), (0.8, -0.25), (0.95, 0.1)],
        "parted": [
            (-1.0, 0.35),
            (-0.75, -0.15),
            (-0.35, -0.5),
            (-0.1, -0.85),
            (0.25, -0.5),
            (0.75, -0.15),
            (1.0, 0.35),
        ],
        "swept": [(-1.0, 0.3), (-0.7, -0.05), (-0.3, -0.2), (0.2, -0.4), (0.6, -0.6), (0.85, -0.3), (1.0, 0.15)],
        "spiky": [
            (-1.0, 0.2),
            (-0.8, -0.5),
            (-0.55, 0.0),
            (-0.3, -0.5),
            (0.0, -0.05),
            (0.3, -0.5),
            (0.6, 0.0),
            (0.85, -0.5),
            (1.0, 0.2),
        ],
    }[who.fringe]
    lower = np.add(tips, (0.08 * pose.turn, 0.0))
    lower = lower if who.fringe == "spiky" else smooth(lower, closed=False)
    crown = smooth(
        _points((1.08, 0.1), (1.02, -0.7), (0.55, -1.22), (0, -1.34), (-0.55, -1.22), (-1.02, -0.7), (-1.08, 0.1)),
        closed=False,
    )
    canvas.shape(np.concatenate([lower, crown]), who.hair, shade=True)
    if canvas.coloured and canvas.hand.shading != "flat":
        light: Colour = tuple(min(255, value + 60) for value in who.hair)  # type: ignore[assignment]
        canvas.stroke(_curve((-0.6, -0.85), (0, -1.02), (0.6, -0.85)), weight=1.6, colour=light)
    if who.hair_shape in ("bob", "long", "braids"):
        for side in (-1, 1):
            lock = _blob((0.88, -0.4), (1.1, -0.2), (1.08, 0.9), (0.95, 1.25), (0.82, 0.6)) * [side, 1]
            canvas.shape(lock, who.hair)


def _extra(canvas: Canvas, who: Character) -> None:
    colour = who.extra_colour
    if who.extra == "cat_ears":
        for side in (-1, 1):
            canvas.shape(_points((0.3, -1.2), (0.95, -1.85), (1.0, -0.85)) * [side, 1], who.hair)
            canvas.fill(_points((0.48, -1.2), (0.85, -1.6), (0.88, -1.0)) * [side, 1], (255, 180, 190))
    elif who.extra == "ribbon":
        for side in (-1, 1):
            canvas.shape(_blob((0.0, -1.3), (0.55, -1.65), (0.6, -1.05)) * [side, 1] + [0.5, 0], colour)
        canvas.shape(ellipse(0.5, -1.32, 0.13, 0.13), colour)
    elif who.extra == "glasses":
        for side in (-1, 1):
            canvas.stroke(ellipse(side * 0.42, 0.14, 0.33, 0.33), weight=1.3)
        canvas.stroke(_points((-0.1, 0.1), (0.1, 0.1)), weight=1.3)
    elif who.extra == "horns":
        for side in (-1, 1):
            canvas.shape(_blob((0.45, -1.15), (0.8, -1.2), (1.15, -1.75), (0.8, -1.55)) * [side, 1], colour)
    elif who.extra == "halo":
        canvas.stroke(ellipse(0, -1.7, 0.75, 0.2), weight=2.5, colour=(250, 210, 60))
    elif who.extra == "cap":
        canvas.shape(_blob((-1.05, -0.75), (-0.8, -1.5), (0, -1.7), (0.8, -1.5), (1.05, -0.75)), colour, shade=True)
        canvas.shape(_blob((-0.2, -0.8), (1.0, -0.9), (1.6, -0.6), (0.7, -0.6)), colour)
    elif who.extra == "flower":
        for angle in np.linspace(0, 2 * np.pi, 5, endpoint=False):
            canvas.shape(
                ellipse(-0.75 + 0.2 * np.cos(angle), -0.85 + 0.2 * np.sin(angle), 0.16, 0.16), colour, line=0.6
            )
        canvas.shape(ellipse(-0.75, -0.85, 0.1, 0.1), (250, 210, 60), line=0.6)
