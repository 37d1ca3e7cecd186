"""Counters of this process; what the database knows better is read there (``booru_ml.health.metrics``)."""

from __future__ import annotations

from prometheus_client import Counter

HOOK_ERRORS = Counter("booru_ml_hook_errors_total", "Errors kept away from an upload; the job row may be missing.")
DOORBELL_RINGS = Counter("booru_ml_doorbell_rings_total", "Messages handed to the broker.")
DOORBELL_FAILURES = Counter("booru_ml_doorbell_failures_total", "Messages the broker did not take in time.")
