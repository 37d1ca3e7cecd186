"""The metrics page: this process's counters (of all web processes with ``PROMETHEUS_MULTIPROC_DIR``), and the queue
as the database knows it, which is the same whichever process is asked."""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Iterator

from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

from booru_ml import metrics  # noqa: F401 - registers the counters
from booru_ml.models import AnalysisJob
from booru_ml.pipeline import facts
from booru_ml.pipeline.figures import QueueFacts

FRESH_SECONDS = 5.0
"""Scrapes in quick succession share one look into the database."""

PRIORITIES = {value: label.lower() for value, label in AnalysisJob.Priority.choices}
_last: tuple[float, list[Metric]] = (0.0, [])


def page() -> tuple[bytes, str]:
    """Body and content type."""
    queue = CollectorRegistry()
    queue.register(Queue())
    counters: CollectorRegistry = REGISTRY
    if os.environ.get("PROMETHEUS_MULTIPROC_DIR"):
        counters = CollectorRegistry()
        MultiProcessCollector(counters)  # type: ignore[no-untyped-call]
    return generate_latest(queue) + generate_latest(counters), CONTENT_TYPE_LATEST


class Queue(Collector):
    def collect(self) -> Iterator[Metric]:
        global _last
        if time.monotonic() - _last[0] > FRESH_SECONDS:
            _last = time.monotonic(), list(_families())
        yield from _last[1]


def _families() -> Iterator[Metric]:
    queue = facts.queue_facts()
    jobs = GaugeMetricFamily("booru_ml_jobs", "Analysis jobs by state.", labels=["state"])
    for state, number in queue.states.items():
        jobs.add_metric([state], number)
    yield jobs

    waiting = GaugeMetricFamily("booru_ml_jobs_unfinished", "Jobs not finished yet.", labels=["state", "priority"])
    for (state, priority), number in queue.unfinished.items():
        waiting.add_metric([state, PRIORITIES.get(priority, str(priority))], number)
    yield waiting

    reasons = GaugeMetricFamily("booru_ml_jobs_failed", "Refused and quarantined jobs.", labels=["state", "code"])
    for (state, code), number in queue.reasons.items():
        reasons.add_metric([state, code], number)
    yield reasons

    retried = GaugeMetricFamily("booru_ml_jobs_retried", "Jobs put back after a failed attempt.", labels=["code"])
    for code, number in queue.retrying.items():
        retried.add_metric([code], number)
    yield retried

    stuck = GaugeMetricFamily("booru_ml_jobs_stuck", "Jobs that ought to have moved.", labels=["why"])
    for why, number in vars(queue.stuck).items():
        stuck.add_metric([why], number)
    yield stuck

    yield GaugeMetricFamily("booru_ml_jobs_held", "Uploads beyond their uploader's share of the queue.", queue.held)
    yield GaugeMetricFamily("booru_ml_uploaders_over_limit", "Uploaders with uploads held.", queue.uploaders_over_limit)
    yield GaugeMetricFamily(
        "booru_ml_queue_age_seconds",
        "How long the fresh upload that waits longest has been due; any job, where nothing moves.",
        queue.oldest_ready_seconds,
    )
    yield GaugeMetricFamily("booru_ml_pictures_per_minute", "Pictures that came to an end lately.", queue.per_minute)
    yield from _backfill(queue)
    yield GaugeMetricFamily("booru_ml_workers", "Worker processes seen lately.", len(queue.workers))
    yield GaugeMetricFamily("booru_ml_workers_able", "Worker processes without a fault.", len(queue.working))
    yield GaugeMetricFamily(
        "booru_ml_workers_behind", "Worker processes that could not load the promoted models.", len(queue.behind)
    )

    stages = GaugeMetricFamily(
        "booru_ml_stage_seconds",
        "Seconds per picture and stage over the jobs finished last.",
        labels=["stage", "quantile"],
    )
    sizes = GaugeMetricFamily(
        "booru_ml_batch_size", "Pictures per batch over the jobs finished last.", labels=["quantile"]
    )
    for stage, values in facts.stage_seconds().items():
        for quantile, value in _quantiles(values):
            if stage == "batch":
                sizes.add_metric([quantile], value)
            else:
                stages.add_metric([stage, quantile], value)
    yield stages
    yield sizes


def _backfill(queue: QueueFacts) -> Iterator[Metric]:
    known = facts.backfill_facts(queue)
    states = GaugeMetricFamily("booru_ml_backfill", "1 for the state of the latest backfill.", labels=["state"])
    posts = GaugeMetricFamily("booru_ml_backfill_posts", "How far the latest backfill is.", labels=["part"])
    if known:
        states.add_metric([known.order.state], 1)
        posts.add_metric(["goal"], known.goal)
        posts.add_metric(["reached"], known.reached)
    yield states
    yield posts


def _quantiles(values: list[float]) -> list[tuple[str, float]]:
    if len(values) < 2:
        return [("0.5", values[0]), ("0.95", values[0])]
    cuts = statistics.quantiles(values, n=20, method="inclusive")
    return [("0.5", cuts[9]), ("0.95", cuts[18])]
