"""The networks of one worker: loaded when there is work, exchanged when others were promoted, kept where those fail."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Any

from booru_ml import registry
from booru_ml.errors import BooruError, CheckpointError
from booru_ml.pipeline.outbox import UNVERSIONED
from booru_ml.registry import Selection
from booru_ml.types import Finding, Picture

logger = logging.getLogger(__name__)

RETRY_SECONDS = 30.0
"""Between two tries of a promoted set that could not be loaded."""


class Models:
    """The engine of a worker, whichever it is at the moment. One thread at a time.

    ``behind`` says why the former networks still work; empty while those in force do.
    """

    def __init__(self, load: Callable[[Selection], Any]) -> None:
        self.behind = ""
        self._load = load
        self._engine: Any = None
        self._selection, self._selected = Selection(), ""
        self._loading: tuple[Selection, Future[Any]] | None = None
        self._not_before = 0.0

    @property
    def version(self) -> str:
        return str(self._engine.version)

    def infer(self, pictures: Sequence[Picture]) -> list[Finding]:
        return list(self._engine.infer(pictures))

    def start(self) -> None:
        """Loads what is in force, or the latest former one that can be. Raises the first ``CheckpointError``."""
        wanted = registry.look()
        try:
            self._take(wanted, self._load(wanted))
        except CheckpointError as error:
            for former in registry.formers():
                try:
                    engine = self._load(former)
                except CheckpointError:
                    continue
                self._lag(error)
                self._take(former, engine)
                return
            raise

    def lags(self, sure: bool = False) -> str:
        """The version that ought to work where this engine is another one's; empty where it is the one. As far as known
        a moment ago, or, to be ``sure``, by the database."""
        if sure:
            registry.forget()
        wanted = registry.wanted()
        try:
            return "" if wanted.version == self._selected else wanted.version
        except CheckpointError:
            return "" if wanted == self._selection else UNVERSIONED

    def follow(self) -> bool:
        """Goes over to what has come into force meanwhile, once it is loaded; whether it did now. Never waits.

        It is loaded by a thread, so that uploads go on through the former one.
        """
        try:
            wanted = registry.wanted()
            if wanted.version == self._selected:
                self._forgo()
                return False
        except CheckpointError as error:
            self._lag(error)
            return False
        if self._loading is None:
            if time.monotonic() >= self._not_before:
                self._begin(wanted)
            return False
        selection, future = self._loading
        if not future.done():
            return False
        self._loading = None
        try:
            engine = future.result()
        except Exception as error:
            self._lag(error)
            return False
        if selection != wanted:
            _close(engine)
            return False
        _close(self._engine)
        self.behind = ""
        self._take(selection, engine)
        return True

    def close(self) -> None:
        self._forgo()
        engine, self._engine = self._engine, None
        registry.use(None)
        _close(engine)

    def _take(self, selection: Selection, engine: Any) -> None:
        self._engine, self._selection, self._selected = engine, selection, selection.version
        registry.use(selection)
        registry.record(getattr(engine, "checkpoints", ()))

    def _lag(self, error: Exception) -> None:
        why = error.message if isinstance(error, BooruError) else f"{type(error).__name__}: {error}"
        if why != self.behind:
            logger.error("the promoted models cannot be loaded, the former ones go on: %s", why)
        self.behind = why[:2000]
        self._not_before = time.monotonic() + RETRY_SECONDS

    def _begin(self, selection: Selection) -> None:
        future: Future[Any] = Future()

        def load() -> None:
            try:
                future.set_result(self._load(selection))
            except BaseException as error:
                future.set_exception(error)

        self._loading = selection, future
        threading.Thread(target=load, name="booru-ml-models", daemon=True).start()

    def _forgo(self) -> None:
        """What is still being loaded is not wanted any more."""
        self.behind, self._not_before = "", 0.0
        if self._loading is not None:
            self._loading[1].add_done_callback(lambda done: None if done.exception() else _close(done.result()))
            self._loading = None


def _close(engine: Any) -> None:
    if hasattr(engine, "close"):
        engine.close()
