"""What a picture may cost before it is refused. Free of Django, so that the decoding child can import it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

MIB = 2**20


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Sizes in bytes, sides in pixels, durations in seconds."""

    max_bytes: int = 100 * MIB
    max_pixels: int = 100_000_000
    """Largest canvas, in pixels; the frames of an animation are held to it one by one."""
    max_side: int = 65_500
    canvas_side: int = 1280
    """Longest side of decoded frames; longer ones are reduced by a whole number."""
    memory: int = 1024 * MIB
    """Address space that decoding one picture may take on top of the idle decoder."""
    cpu_seconds: int = 20
    timeout_seconds: float = 30.0
    """Time on the wall, for a decoder that hangs without computing."""

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            if value <= 0:
                raise ValueError(f"The limit {name} must be greater than 0, not {value!r}.")

    @property
    def animation_seconds(self) -> float:
        """Computing time after which the frames of an animation that were reached must do."""
        return self.cpu_seconds / 4

    @property
    def spare_seconds(self) -> float:
        """Computing time that earlier pictures of one decoding process may have taken of its allowance."""
        return self.cpu_seconds / 4

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_config(cls) -> Limits:
        """The limits of the ``BOORU_ML`` setting."""
        from booru_ml.conf import config

        current = config()
        return cls(
            max_bytes=current.MAX_BYTES,
            max_pixels=current.MAX_PIXELS,
            max_side=current.MAX_SIDE,
            canvas_side=current.CANVAS_SIDE,
            memory=current.DECODE_MEMORY,
            cpu_seconds=current.DECODE_CPU_SECONDS,
            timeout_seconds=current.DECODE_CPU_SECONDS * 1.5,
        )
