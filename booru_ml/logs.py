"""Structured logs: one JSON object per line, with ``job_id``, ``post_id``, ``batch`` and the like as fields."""

from __future__ import annotations

from typing import Any


def json_logging(level: str = "INFO") -> dict[str, Any]:
    """A ``LOGGING`` setting that writes everything to stderr as JSON: ``LOGGING = json_logging()``."""
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {
            "json": {
                "()": "pythonjsonlogger.json.JsonFormatter",
                "fmt": "%(asctime)s %(levelname)s %(name)s %(message)s",
                "rename_fields": {"asctime": "time", "levelname": "level", "name": "logger"},
            }
        },
        "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "json"}},
        "root": {"handlers": ["stderr"], "level": level},
        "loggers": {
            "django": {"handlers": ["stderr"], "level": "INFO", "propagate": False},
            "faiss.loader": {"level": "WARNING"},  # else tells of each instruction set that it was not built for
        },
    }
