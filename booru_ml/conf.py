"""The ``BOORU_ML`` setting, typed and read live.

A host writes one dictionary in its Django settings; everything but ``POST_MODEL`` has a default::

    BOORU_ML = {"POST_MODEL": "board.Post", "FIELDS": {"picture": "file", "tags": "tags"}}

``config()`` gives the current values; ``booru_ml.checks`` explains every mistake with an id and a hint.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.signals import setting_changed
from django.utils.module_loading import import_string

CHECKPOINTS = Path(__file__).parent / "checkpoints"

# The one list of who hears of a finished analysis, in order. Each is ``f(analyses: Sequence[Analysis]) -> None``,
# called inside the transaction that marks the jobs done.
SINKS = (
    "embeddings.services.remember",
    "tagging.services.suggest",
    "moderation.services.triage",
)

# What workers do while there are no pictures, a slice at a time. Each is ``f() -> int``: how much it did, 0: nothing.
CHORES = ("tagging.sweeper.advance",)

# Where workers find the queries by picture (a module that is a ``booru_ml.pipeline.queries.Desk``).
QUERIES = "embeddings.queries"

# Who takes back what a model has said, when it is rolled back. Each is ``f(*, version, tasks, actor, most) -> int``:
# how many it took back of at most ``most``, in one transaction of its own; 0 once nothing is left.
WITHDRAWERS = ("tagging.services.withdraw_run",)


@dataclass(frozen=True, kw_only=True)
class Config:
    """Every key of ``BOORU_ML``. Durations are seconds, sizes bytes unless the name says otherwise."""

    # Host board
    POST_MODEL: str = ""
    """The host's post model, ``app_label.Model``."""
    ADAPTER: str = "booru_ml.host.model_board.ModelBoard"
    """Dotted path of the host adapter class."""
    FIELDS: Mapping[str, str] = field(default_factory=dict)
    """Which field of the post holds what: picture, thumbnail, tags, rating, source, uploader, status, content_key,
    created."""
    TAG_FIELDS: Mapping[str, str] = field(default_factory=lambda: {"name": "name", "category": "category"})
    """Where ``tags`` is a relation: the tag model's fields."""
    TAG_CATEGORIES: Mapping[str, Any] = field(
        default_factory=lambda: {"general": 0, "artist": 1, "copyright": 3, "character": 4, "meta": 5}
    )
    """The host's value for each of our tag categories."""
    RATINGS: Mapping[str, Any] = field(default_factory=lambda: {"g": "g", "s": "s", "q": "q", "e": "e"})
    STATUSES: Mapping[str, Any] = field(
        default_factory=lambda: {
            "pending": "pending",
            "active": "active",
            "flagged": "flagged",
            "deleted": "deleted",
        }
    )

    # Pipeline
    BROKER_URL: str = "redis://127.0.0.1:6379/0"
    BATCH_SIZE: int = 16
    LEASE_SECONDS: float = 30.0
    MAX_ATTEMPTS: int = 3
    SETTLE_SECONDS: float = 2.0
    """How long a job waits when the host saves without a transaction, so that its form may finish first."""
    RECONCILE_SECONDS: float = 15.0
    """How often a worker looks for rows whose doorbell was lost."""
    MAX_WAITING_PER_UPLOADER: int = 100
    """Waiting uploads of one person that go with everybody's; further ones are held behind the others'. 0 lifts it."""
    BACKFILL_WAITING: int = 500
    """Most old posts that wait at a time while a backfill is under way."""

    # Pictures
    MAX_BYTES: int = 100 * 2**20
    MAX_PIXELS: int = 100_000_000
    MAX_SIDE: int = 65_500
    CANVAS_SIDE: int = 1280
    """Longest side, in pixels, of decoded pictures; larger ones are reduced by a whole number."""
    DECODE_MEMORY: int = 1024 * 2**20
    DECODE_CPU_SECONDS: int = 20
    DECODERS: int = 1
    """Decode children of one worker. One keeps up with the networks on a CPU; a GPU wants one per core."""

    # Models
    CHECKPOINTS: tuple[str | Path, ...] = (CHECKPOINTS / "booru-lite", CHECKPOINTS / "nsfwjs")
    """Checkpoint folders; the first one with an embedding head gives the embeddings."""
    RUNTIME: str = "auto"
    """auto, or a route's name: onnx, openvino, openvino-bf16, torch, torch-channels-last, torch-compiled, torch-bf16,
    torch-bf16-compiled. auto takes what ``manage.py booru_model probe`` found to be the fastest on this machine."""
    DEVICE: str = "auto"
    """auto, cpu, cuda or cuda:N (torch only). Without a number, workers spread over the GPUs."""
    THREADS: int = 1
    """Arithmetic threads of one worker process."""
    IDLE_SECONDS: float = 600.0
    """A worker without work for so long lets the networks and decoders go, and loads them again for the next upload;
    0 keeps them for good."""
    MODELS_DIR: str = ""
    """Where ``booru_model add`` and ``pull`` keep checkpoints; empty: booru-ml in the user's data folder. Every worker
    has to see it under the same path."""
    CACHE_DIR: str = ""
    """Where measured routes and large indexes are kept; empty: booru-ml in the user's cache folder."""

    # Recognition
    UNKNOWN_BELOW: float = 0.5
    """A character whose calibrated probability is lower is not named: the answer is "unknown"."""
    STRANGERS_NAMED: float = 0.0
    """Largest share (0–1) of pictures of nobody enrolled that may be named, such as 0.01; the bar on the probability
    follows from what the checkpoint measured on strangers. 0: ``UNKNOWN_BELOW`` is the bar."""
    SUGGESTIONS_PER_SUBJECT: int = 3

    # Similar pictures
    QUERY_SECONDS: float = 10.0
    """How long somebody who asks by picture waits for a worker, before the answer is 503."""
    QUERY_BYTES: int = 16 * 2**20
    """Largest file to ask with."""
    QUERIES_WAITING: int = 16
    """Most queries by picture that wait at a time; further ones are turned away at once."""
    VECTOR_STORE: str = ""
    """Empty: every process keeps an index of its own. ``milvus+http://user:password@host:19530/database`` (or
    ``milvus+https``): one Milvus for all of them, for more vectors than fit each process's memory."""

    # Tagging
    TAG_THRESHOLDS: Mapping[str, float] = field(default_factory=dict)
    """Least score (0–1) per category (``general``) or tag (``character:saber``); wins over the checkpoints' own, and a
    value above 1 switches it off."""
    AUTO_APPLY: bool = False
    """Kill switch of automatic tagging: off, nothing is written to a post without a person."""
    AUTO_APPLY_THRESHOLDS: Mapping[str, float] = field(default_factory=dict)
    """Least score per tag category (``{"character": 0.95}``); a category that is absent is never applied by itself."""

    # Moderation
    FLAG_THRESHOLDS: Mapping[str, float] = field(default_factory=dict)
    """Least score (0–1) per flag where it differs from ``moderation.rules.THRESHOLDS``; above 1 switches a flag off."""
    CLAIM_SECONDS: float = 120.0
    """How long a moderator's claim on a case lasts; the open case page renews it."""

    # API
    PAGE_SIZE: int = 50
    MAX_PAGE_SIZE: int = 200
    THROTTLE_RATES: Mapping[str, str] = field(default_factory=lambda: {"user": "600/min", "anon": "60/min"})
    """Requests per user and per address; leave a key out to lift that limit."""
    NUM_PROXIES: int = 0
    """Trusted reverse proxies in front of the board, for telling anonymous clients apart. 0 ignores X-Forwarded-For."""

    # Operations
    METRICS_TOKEN: str = ""
    """Bearer token that Prometheus may read ``/metrics`` with; staff may always."""


@cache
def config() -> Config:
    """The current configuration. Raises ``TypeError`` for unknown keys (``booru_ml.E001`` explains them)."""
    return Config(**getattr(settings, "BOORU_ML", {}))


def known_keys() -> frozenset[str]:
    return frozenset(item.name for item in fields(Config))


def post_model() -> str:
    """``app_label.Model`` of the host's posts, for foreign keys and migrations (as ``AUTH_USER_MODEL``)."""
    return str(getattr(settings, "BOORU_ML", {}).get("POST_MODEL", "")) or "booru_ml.MissingPostModel"


@cache
def sinks() -> tuple[Any, ...]:
    """The sink functions, imported on first use."""
    return tuple(import_string(path) for path in SINKS)


@cache
def chores() -> tuple[Any, ...]:
    return tuple(import_string(path) for path in CHORES)


def queries() -> Any:
    """The module ``QUERIES``, imported on first use."""
    return import_module(QUERIES)


@cache
def withdrawers() -> tuple[Any, ...]:
    return tuple(import_string(path) for path in WITHDRAWERS)


def _forget(*, setting: str, **_: object) -> None:
    if setting == "BOORU_ML":
        config.cache_clear()


setting_changed.connect(_forget, dispatch_uid="booru_ml.conf")
