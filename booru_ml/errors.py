"""One base for every error this project raises on purpose; ``code`` is stable, the message is for people."""

from __future__ import annotations

from typing import Any


class BooruError(Exception):
    """Base. ``status`` is the HTTP status an API answers with; ``extra`` is JSON-ready detail."""

    code = "error"
    status = 400

    def __init__(self, message: str, *, code: str | None = None, **extra: Any) -> None:
        super().__init__(message)
        self.message = message
        self.extra = extra
        if code is not None:
            self.code = code


class InvalidInput(BooruError):
    code = "invalid"


class NotPermitted(BooruError):
    code = "permission_denied"
    status = 403


class NotFound(BooruError):
    code = "not_found"
    status = 404


class StaleState(BooruError):
    """Somebody else was faster: the row is no longer in the state this verb starts from."""

    code = "stale_state"
    status = 409


class CheckpointError(BooruError):
    """A checkpoint folder is missing, damaged or of an unknown shape."""

    code = "checkpoint"
    status = 500


class PictureRefused(BooruError):
    """The picture cannot be analysed; ``code`` says why (see docs/pictures.md)."""

    code = "corrupt"
    status = 422


class TooMany(BooruError):
    """This user has too much under way already."""

    code = "throttled"
    status = 429


class Unavailable(BooruError):
    """A part that this request needs does not answer; trying later may help."""

    code = "unavailable"
    status = 503
