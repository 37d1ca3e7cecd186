"""Backfills as tests order and run them."""

from __future__ import annotations

import io
from collections import Counter

from django.core.management import call_command

from booru_ml.models import AnalysisJob
from booru_ml.pipeline.runner import Runner
from tests.booru_ml.pipeline.fakes import VERSION, FakeDecoders, FakeEngine


def work() -> int:
    return Runner(FakeEngine(), FakeDecoders(), version=VERSION, sinks=[]).drain(max_seconds=20)


def told(*args: str, **options) -> str:
    out = io.StringIO()
    call_command("booru_backfill", *args, stdout=out, stderr=out, **options)
    return out.getvalue()


def present() -> Counter[tuple[str, int]]:
    rows = AnalysisJob.objects.filter(pipeline_version=VERSION)
    return Counter(rows.values_list("state", "priority"))
