"""Pictures that somebody asks about, looked at between batches and never before an upload.

They have a decoder of their own with tighter limits, so that a picture made to take long stands in no upload's way.
"""

from __future__ import annotations

import io
import logging
import time
from collections.abc import Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass, field
from typing import Protocol

from django.db import DatabaseError, InterfaceError

from booru_ml import conf
from booru_ml.errors import PictureRefused, Unavailable
from booru_ml.pipeline.batches import Decoders
from booru_ml.pipeline.images.limits import Limits
from booru_ml.pipeline.look import Engine, look
from booru_ml.pipeline.outcomes import CONNECTION_LOST, Failure, WorkerFault
from booru_ml.types import Finding, Picture, Refusal

logger = logging.getLogger(__name__)

IN_HAND = 4
"""Most queries that one worker decodes ahead. It looks at one at a time, and after each whether an upload came."""
PATIENCE_SECONDS = 0.05
"""How long a step waits for the decoder before it looks after the uploads again."""


@dataclass(frozen=True, slots=True)
class Query:
    """The picture's file as it was sent, and how many seconds its asker will still wait."""

    id: int
    picture: bytes
    seconds: float


class Desk(Protocol):
    """Where queries come from and answers go to: the module that ``booru_ml.conf.QUERIES`` names."""

    def waiting(self) -> bool: ...

    def take(self, limit: int) -> list[Query]: ...

    def answer(self, query_id: int, said: Finding | Refusal) -> None: ...

    def give_back(self, query_ids: Sequence[int]) -> None: ...

    def limits(self) -> Limits: ...


@dataclass(slots=True, eq=False)
class _InHand:
    query: Query
    decoding: Future[Picture]
    taken_at: float = field(default_factory=time.monotonic)

    @property
    def expired(self) -> bool:
        return time.monotonic() - self.taken_at > self.query.seconds


class Queries:
    """The queries that one worker has in hand. Used by the thread that drains."""

    def __init__(self, engine: Engine, decoders: Decoders, *, desk: Desk | None = None) -> None:
        self._engine = engine
        self._decoders = decoders
        self._desk = desk or conf.queries()
        self._in_hand: list[_InHand] = []

    def step(self) -> bool:
        """Takes what waits and answers one of those that are decoded; False when nothing is left.

        Raises ``WorkerFault`` when the worker cannot work at all, and the database's errors when it is away.
        """
        try:
            if len(self._in_hand) < IN_HAND and self._desk.waiting():
                for query in self._desk.take(IN_HAND - len(self._in_hand)):
                    self._in_hand.append(_InHand(query, self._decoders.submit(io.BytesIO(query.picture))))
            if not self._in_hand:
                return False
            wait([item.decoding for item in self._in_hand], PATIENCE_SECONDS, return_when=FIRST_COMPLETED)
            self._drop_expired()
            done = next((item for item in self._in_hand if item.decoding.done()), None)
            if done:
                self._desk.answer(done.query.id, self._look(done))
                self._in_hand.remove(done)
        except (WorkerFault, *CONNECTION_LOST):
            self.give_back()
            raise
        except Exception:
            # One of the pictures may have done it: the attempt counts.
            logger.exception("queries by picture could not be answered")
            self._in_hand.clear()
        return True

    def give_back(self) -> None:
        """Leaves what is in hand to the next worker, or the next drain."""
        left, self._in_hand = self._in_hand, []
        for item in left:
            item.decoding.cancel()
        try:
            if left:
                self._desk.give_back([item.query.id for item in left])
        except (DatabaseError, InterfaceError) as error:
            logger.warning("queries not given back, their askers will hear that nobody answered: %s", error)

    def _drop_expired(self) -> None:
        for item in [item for item in self._in_hand if item.expired]:
            item.decoding.cancel()
            self._in_hand.remove(item)

    def _look(self, item: _InHand) -> Finding | Refusal:
        try:
            picture = item.decoding.result()
        except PictureRefused as refused:
            return Refusal(refused.code, refused.message)
        except Unavailable as error:
            raise WorkerFault(f"No picture can be decoded: {error.message}") from error
        (said,) = look(self._engine, [picture])
        if isinstance(said, Failure):
            logger.warning("the networks failed on a query: %s", said.message)
            return Refusal(said.code, "The networks cannot look at this picture.")
        return said
