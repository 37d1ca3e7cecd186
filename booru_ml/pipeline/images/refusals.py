"""Why a picture is refused: stable codes and the sentences people read. Free of Django and Pillow."""

from __future__ import annotations

from booru_ml.pipeline.images.limits import MIB, Limits

FORMATS = "JPEG, PNG, GIF, WebP and AVIF"

_SENTENCES = {
    "empty": "The file is empty. Send the picture again.",
    "too-many-bytes": "The file is larger than {megabytes:g} MiB, the most that is accepted.",
    "format": f"This is not a picture of an accepted format. Accepted are {FORMATS}; the content counts, not the name.",
    "too-many-pixels": "The picture is too large{measures}. Accepted are up to {megapixels:g} megapixels and {side} "
    "pixels a side.",
    "corrupt": f"The picture is damaged or incomplete. Accepted are complete {FORMATS} files; saving it again with a "
    "picture editor may mend it.",
    "resources": "Decoding the picture needs more than {memory:g} MiB of memory or {cpu} s of computing time, the most "
    "that is allowed. Save it smaller or in another format.",
    "timeout": "Decoding the picture took longer than {timeout:g} s and was stopped. Save it again in another format.",
    "crashed": "The decoder crashed on this picture, which is probably malformed; saving it again with a picture "
    "editor may mend it.",
}
CODES = frozenset(_SENTENCES)


def sentence(code: str, limits: Limits, *, width: int = 0, height: int = 0) -> str:
    """The sentence for ``code``: what is wrong and what is accepted. Raises ``KeyError`` for an unknown code."""
    return _SENTENCES[code].format(
        megabytes=limits.max_bytes / MIB,
        measures=f": {width} × {height} pixels" if width and height else "",
        megapixels=limits.max_pixels / 1e6,
        side=limits.max_side,
        memory=limits.memory / MIB,
        cpu=limits.cpu_seconds,
        timeout=limits.timeout_seconds,
    )


class Refused(Exception):
    """Raised while decoding, inside the child; the parent makes a ``PictureRefused`` of it."""

    def __init__(self, code: str, detail: str = "", *, width: int = 0, height: int = 0) -> None:
        super().__init__(f"{code}: {detail}")
        self.code = code
        self.detail = detail
        self.width = width
        self.height = height
