"""What a worker works with, as the settings have it: the networks, and the decoders. Built where they are used."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from booru_ml import conf, registry
from booru_ml.conf import config
from booru_ml.errors import Unavailable
from booru_ml.registry import Selection

if TYPE_CHECKING:
    from booru_ml.checkpoint import Checkpoint
    from booru_ml.nn.routes.choices import Choice

logger = logging.getLogger(__name__)


def serving() -> dict[str, Any]:
    """How uploads are looked at, as keyword arguments of ``Engine`` and ``open_session``."""
    from booru_ml.nn.routes import choices_in

    known = config()
    return {
        "runtime": known.RUNTIME,
        "device": known.DEVICE,
        "threads": known.THREADS,
        "batch_size": known.BATCH_SIZE,
        "choices": choices_in(known.CACHE_DIR),
    }


def load_engine(selection: Selection | None = None) -> Any:
    """The networks that ought to speak, warmed up. Raises ``CheckpointError`` for damaged or missing weights."""
    from threadpoolctl import threadpool_limits

    from booru_ml.nn.engine import Engine

    # NumPy's and FAISS's own threads, too: idle ones spin, and take the time of the networks and the decoders.
    threadpool_limits(config().THREADS)
    engine = Engine((selection or registry.wanted()).load(), **serving())
    engine.warm_up()
    return engine


def build_engine(selection: Selection | None = None) -> Any:
    """As ``load_engine``, said in the log."""
    engine = load_engine(selection)
    logger.info("networks loaded", extra={"routes": list(engine.routes), "pipeline_version": engine.version})
    return engine


def probe_routes(*, again: bool = False, **how: Any) -> Iterator[tuple[Checkpoint, Choice]]:
    """Which route each of these networks takes here, measured where it was not yet, or ``again``; ``how``: fields of
    ``booru_ml.nn.routes.probe.Settings``. Raises ``CheckpointError``, and ``Unavailable`` where nothing can be kept."""
    from booru_ml.nn.routes import choices_in
    from booru_ml.nn.routes.probe import Settings, probe

    settings = Settings(device=config().DEVICE, threads=config().THREADS, batch_size=config().BATCH_SIZE, **how)
    choices = choices_in(config().CACHE_DIR)
    for checkpoint in registry.wanted().load():
        try:
            choice = probe(checkpoint, choices, settings, again=again)
        except OSError as error:
            hint = "Name a folder that can be written in BOORU_ML['CACHE_DIR']."
            raise Unavailable(f"The choice cannot be kept in {choices.folder}: {error}. {hint}") from error
        yield checkpoint, choice


def build_decoders() -> Any:
    """The guarded decode children with the configured limits."""
    from booru_ml.pipeline.images import DecoderPool, Limits

    return DecoderPool(workers=config().DECODERS, limits=Limits.from_config())


def build_query_decoders() -> Any:
    """One decoder for queries by picture; its process starts with the first of them."""
    from booru_ml.pipeline.images import DecoderPool

    return DecoderPool(workers=1, limits=conf.queries().limits())
