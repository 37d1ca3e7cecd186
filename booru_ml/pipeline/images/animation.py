"""First, middle and last frame of an animation, within a budget of computing time."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from PIL import Image, ImageFile

from booru_ml.pipeline.images import blocks, oddities
from booru_ml.pipeline.images.limits import Limits


@dataclass(frozen=True, slots=True)
class Plan:
    """``count``: frames of the file; ``later``: numbers of the frames to keep besides the first."""

    count: int
    later: tuple[int, ...]
    notes: list[str] = field(default_factory=list)


def plan(image: ImageFile.ImageFile, kind: str, data: memoryview, limits: Limits, in_time: Callable[[], bool]) -> Plan:
    """Which frames of a freshly opened ``image`` to decode; one that is cut off or too large ends the usable part."""
    if kind == "JPEG":
        # Further pictures of an MPO are previews, depth or gain maps of the first, not frames.
        return Plan(1, (), ["first-picture"] if getattr(image, "is_animated", False) else [])
    notes: list[str] = []
    claimed = int(getattr(image, "n_frames", 1)) if kind != "GIF" else 0
    if kind == "GIF":
        found = blocks.gif_animation(
            data,
            fits=lambda width, height: width * height <= limits.max_pixels and max(width, height) <= limits.max_side,
            in_time=in_time,
        )
        count, usable = max(1, found.count), max(1, found.usable)
        notes += ["damage-skipped"] if found.stray else []
        notes += ["trailing-data"] if oddities.trails(data, found.end) else []
    elif kind == "PNG" and claimed > 1:
        count, usable = claimed, min(claimed, blocks.png_animation(data).count)
    else:
        count = usable = max(1, claimed)
    if count == 1:
        return Plan(1, (), notes)
    notes += ["frames"] if usable == count else ["frames", "frames-unread"]
    return Plan(count, tuple(sorted({usable // 2, usable - 1} - {0})), notes)


def budget(limits: Limits) -> Callable[[], bool]:
    """Says whether there is computing time left for an animation that is begun now."""
    end = time.process_time() + limits.animation_seconds
    return lambda: time.process_time() < end


def frames(
    image: ImageFile.ImageFile, plan: Plan, in_time: Callable[[], bool], notes: list[str]
) -> Iterator[Image.Image]:
    """The planned frames on the first frame's canvas; ends early (note ``frames-unread``) at damage, when memory is
    out, or when the computing time is spent, then with the last frame that was reached. What it yields is valid until
    the next one is asked for."""
    size = image.size
    yield image
    last = plan.later[-1] if plan.later else 0
    for number in range(1, last + 1):
        try:
            image.seek(number)
            image.load()
        except (Exception, MemoryError):
            notes.append("frames-unread")
            return
        late = number < last and not in_time()
        if late or number in plan.later:
            # Browsers show no more than the canvas, even where a frame reaches beyond it.
            yield image.crop((0, 0, *size)) if image.size != size else image
        if late:
            notes.append("frames-unread")
            return
