"""What our own forms send back."""

from __future__ import annotations

from booru_ml.errors import InvalidInput


def number(text: str | None) -> int:
    """A row's key, or its version. Raises ``InvalidInput`` for anything that no form of ours holds."""
    if not text or not text.isascii() or not text.isdigit() or len(text) > 18:
        raise InvalidInput("The form is damaged; reload the page and try again.")
    return int(text)
