"""What the plugin needs of a board. ``ModelBoard`` does it for any Django model; subclass it for what differs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, BinaryIO, Protocol

from booru_ml.types import PostFacts, Rating, TagRef


class HostBoard(Protocol):
    """The board behind an adapter. Ids are the host's primary keys; writes raise ``NotFound`` for a missing post.

    Every write must be made inside ``booru_ml.pipeline.hooks.writing_back()`` by the adapter itself, so that the
    board's own signals are recognised as our echo.
    """

    def content_key(self, post: Any) -> str:
        """What identifies the picture of ``post`` (≤ 64 characters), cheap enough for the upload request."""

    def uploader_id(self, post: Any) -> Any:
        """Who uploaded ``post``, without a query; None where the board does not say."""

    def open_picture(self, post_id: Any) -> BinaryIO:
        """The picture's file, opened for reading. Raises ``NotFound``."""

    def facts(self, post_ids: Iterable[Any]) -> dict[Any, PostFacts]:
        """Facts of the posts that exist, by id, in a constant number of queries."""

    def add_tags(self, post_id: Any, tags: Sequence[TagRef]) -> tuple[TagRef, ...]:
        """Adds tags (never metatags); returns those that were really missing: the delta an undo removes."""

    def remove_tags(self, post_id: Any, tags: Sequence[TagRef]) -> tuple[TagRef, ...]:
        """Removes tags; returns those that were really there."""

    def set_rating(self, post_id: Any, rating: Rating | None) -> Rating | None:
        """Sets the rating and returns the one before."""

    def set_status(self, post_id: Any, status: str) -> str:
        """Sets the status (pending, active, flagged, deleted) and returns the one before."""

    def search(self, tag: TagRef, *, limit: int = 100) -> list[Any]:
        """Ids of posts that carry ``tag``, newest first."""

    def walk(
        self, *, after: Any = None, since: datetime | None = None, tags: Sequence[str] = (), limit: int = 500
    ) -> list[Any]:
        """The next ``limit`` posts behind the post with id ``after``, by falling id; an empty list ends the walk.

        Only posts from ``since`` on (raises ``InvalidInput`` where the board knows no time) that carry all of ``tags``.
        """

    def count(self, *, since: datetime | None = None, tags: Sequence[str] = ()) -> int:
        """How many posts such a walk passes."""
