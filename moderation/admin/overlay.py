"""Where face boxes and names stand over the picture, in the picture's own pixels. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from moderation.rules import percent
from moderation.types import FaceView, QueueItem

UNKNOWN = "unknown"
LETTER = 0.7
"""Width of a letter as a share of its height, on the wide side so that labels never overlap the edge."""


@dataclass(frozen=True, slots=True)
class Mark:
    """One box with its label, as SVG coordinates. ``kind`` is known, accepted or unknown."""

    number: int
    x: int
    y: int
    width: int
    height: int
    label: str
    kind: str
    label_x: int
    label_y: int
    label_width: int
    label_height: int
    baseline: int
    size: int
    pad: int


def marks(item: QueueItem) -> tuple[Mark, ...]:
    """Boxes from left to right; none where the picture's size is unknown."""
    if not item.width or not item.height:
        return ()
    return tuple(_mark(face, item.width, item.height) for face in item.faces)


def _mark(face: FaceView, width: int, height: int) -> Mark:
    size = max(round(max(width, height) * 0.019), 9)
    x, y = round(face.box.x * width), round(face.box.y * height)
    label = _label(face)
    label_width, label_height = round(len(label) * size * LETTER + size), round(size * 1.5)
    # Above the box where there is room, else inside its upper edge; never over the picture's sides.
    label_y = y - label_height if y >= label_height else y
    return Mark(
        number=face.number + 1,
        x=x,
        y=y,
        width=max(round(face.box.width * width), 1),
        height=max(round(face.box.height * height), 1),
        label=label,
        kind=_kind(face),
        label_x=max(min(x, width - label_width), 0),
        label_y=label_y,
        label_width=label_width,
        label_height=label_height,
        baseline=label_y + round(size * 1.1),
        size=size,
        pad=round(size * 0.5),
    )


def _standing(face: FaceView) -> list[tuple[str, float, str]]:
    return [name for name in face.names if name[2] != "rejected"]


def _label(face: FaceView) -> str:
    standing = _standing(face)
    if not standing:
        return UNKNOWN
    name, share, state = next((item for item in standing if item[2] == "accepted"), standing[0])
    name = name if len(name) <= 32 else name[:31] + "…"
    return name if state == "accepted" else f"{name} {percent(share)}"


def _kind(face: FaceView) -> str:
    standing = _standing(face)
    if not standing:
        return UNKNOWN
    return "accepted" if any(state == "accepted" for _, _, state in standing) else "known"
