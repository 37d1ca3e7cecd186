"""How a checkpoint wants faces found: ``booru.faces`` of its config.json, checked value by value."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Self

from booru_ml.checkpoint.values import Fail

DETECTORS = ("heatmap", "animeface", "none")
_BOUNDS = {"size": (64, 640), "threshold": (0, 1), "most": (1, 256), "overlap": (0, 1), "margin": (0.5, 4)}
_WHOLE = ("size", "most")


@dataclass(frozen=True, slots=True, kw_only=True)
class FaceSettings:
    """``detector``: heatmap, animeface or none. ``size``: long side of animeface's canvas, pixels. ``threshold``: least
    score of a face; ``most``: faces per picture; ``overlap``: the largest intersection over union of two faces.
    ``margin``: how much larger than its box a face is cropped for its embedding, as a factor of the longer side.
    """

    detector: str = "animeface"
    size: int = 224
    threshold: float = 0.5
    most: int = 16
    overlap: float = 0.3
    margin: float = 1.2

    @classmethod
    def read(cls, said: Any, fail: Fail) -> Self:
        """From ``booru.faces``; ``fail`` is told of the first value that cannot be."""
        if not isinstance(said, Mapping):
            fail("booru.faces must be an object")
        known = [field.name for field in fields(cls)]
        if strange := sorted(set(said) - set(known)):
            fail(f"booru.faces knows no {strange[0]!r}, only {', '.join(known)}")
        if "detector" in said and said["detector"] not in DETECTORS:
            fail(f"booru.faces.detector must be one of {', '.join(DETECTORS)}, not {said['detector']!r}")
        for name, (low, high) in _BOUNDS.items():
            value = said.get(name, low)
            whole = isinstance(value, int) and not isinstance(value, bool)
            if not (whole or (isinstance(value, float) and name not in _WHOLE)) or not low <= value <= high:
                kind = "whole number" if name in _WHOLE else "number"
                fail(f"booru.faces.{name} must be a {kind} from {low} to {high}, not {value!r}")
        return cls(**said)
