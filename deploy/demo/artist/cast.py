"""The cast: who a character is, derived from its number alone (hair, eyes, costumes, name)."""

from __future__ import annotations

import colorsys
from dataclasses import dataclass
from itertools import product

import numpy as np

Colour = tuple[int, int, int]

HAIR_SHAPES = ("bob", "long", "twintails", "ponytail", "short", "braids")
FRINGES = ("straight", "parted", "swept", "spiky")
EXTRAS = ("none", "cat_ears", "ribbon", "glasses", "horns", "halo", "cap", "flower")
COSTUMES = ("sailor", "dress", "hoodie", "armour", "kimono", "jacket")
SKINS: tuple[Colour, ...] = ((255, 228, 208), (250, 214, 186), (226, 176, 138), (172, 120, 88))
_FIRST = ("aki", "hoshi", "kuro", "luna", "mio", "nana", "rei", "sora", "tsuki", "yume")
_LAST = ("kaze", "hime", "no_mori", "hara", "zora", "kawa", "bana", "tori")
NAMES = tuple(f"{first}{last}" for last, first in product(_LAST, _FIRST))


@dataclass(frozen=True, slots=True)
class Costume:
    """What is worn: a cut and two colours."""

    cut: str
    main: Colour
    trim: Colour


@dataclass(frozen=True, slots=True)
class Character:
    """Everything that stays the same from picture to picture."""

    name: str
    hair: Colour
    hair_shape: str
    fringe: str
    eyes: Colour
    skin: Colour
    extra: str
    extra_colour: Colour
    costumes: tuple[Costume, ...]


def _hsv(hue: float, saturation: float, value: float) -> Colour:
    red, green, blue = colorsys.hsv_to_rgb(hue % 1.0, saturation, value)
    return int(red * 255), int(green * 255), int(blue * 255)


def character(number: int) -> Character:
    """Character ``number`` (≥ 0). Neighbouring numbers differ in hair colour, cut and extras by construction."""
    rng = np.random.default_rng([number, 7001])
    golden = 0.618034
    hue = number * golden
    value = (0.95, 0.35, 0.75, 0.55)[number % 4]
    saturation = (0.55, 0.75, 0.25, 0.85)[(number // 2) % 4]
    costumes = tuple(
        Costume(
            cut=COSTUMES[(number + step * 2) % len(COSTUMES)],
            main=_hsv(hue * 1.7 + 0.31 * step + 0.2, 0.65, 0.8),
            trim=_hsv(hue * 2.3 + 0.17 * step + 0.6, 0.4, 0.97),
        )
        for step in range(4)
    )
    suffix = number // len(NAMES)
    return Character(
        name=NAMES[number % len(NAMES)] + (f"_{suffix}" if suffix else ""),
        hair=_hsv(hue, saturation, value),
        hair_shape=HAIR_SHAPES[number % len(HAIR_SHAPES)],
        fringe=FRINGES[(number // 3) % len(FRINGES)],
        eyes=_hsv(hue + 0.37 + 0.1 * rng.random(), 0.85, 0.85),
        skin=SKINS[int(rng.integers(len(SKINS)))],
        extra=EXTRAS[(number * 3 + 1) % len(EXTRAS)],
        extra_colour=_hsv(hue + 0.5, 0.7, 0.9),
        costumes=costumes,
    )
