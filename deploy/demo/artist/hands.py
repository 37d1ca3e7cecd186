"""Artists' hands: how lines, eyes, shadows and colours are done, whoever is drawn."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Hand:
    """One artist's habits. Lengths are in head radii, ``ink`` is RGB, ``shading`` flat, cel, soft or hatch; saturation
    and contrast are factors.
    """

    name: str
    line: float
    taper: float
    wobble: float
    ink: tuple[int, int, int]
    shading: str
    saturation: float
    contrast: float
    warmth: float
    eye_size: float
    chin: float
    grain: float


_HANDS = (
    Hand("inkwell", 0.050, 0.0, 0.004, (22, 20, 30), "cel", 1.0, 1.05, 0.0, 1.00, 0.95, 0.0),
    Hand("pastel_moth", 0.022, 0.6, 0.006, (120, 84, 96), "soft", 0.55, 0.85, 0.10, 1.18, 0.80, 6.0),
    Hand("copperplate", 0.026, 0.3, 0.010, (60, 36, 20), "hatch", 0.75, 1.0, 0.22, 0.86, 1.10, 10.0),
    Hand("neon_koi", 0.040, 0.8, 0.003, (34, 8, 70), "cel", 1.45, 1.20, -0.14, 1.10, 1.02, 0.0),
    Hand("plainline", 0.034, 0.0, 0.002, (0, 0, 0), "flat", 0.95, 1.0, 0.0, 0.92, 0.88, 0.0),
    Hand("old_film", 0.044, 0.4, 0.014, (50, 44, 40), "soft", 0.35, 0.92, 0.18, 0.96, 1.0, 16.0),
)


def hand(number: int) -> Hand:
    """Artist ``number``; there are ``len`` of them and they repeat."""
    return _HANDS[number % len(_HANDS)]


def count() -> int:
    return len(_HANDS)
