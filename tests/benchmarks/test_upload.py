from __future__ import annotations

import json
from io import StringIO

import pytest
from django.contrib.auth import get_user_model
from django.core.management import CommandError, call_command

from booru_ml.models import AnalysisJob
from deploy.demo.board.models import Post

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("media"), pytest.mark.redis]


def bench(**options) -> dict:
    out = StringIO()
    call_command("booru_bench", "upload", "--json", **options, stdout=out, stderr=StringIO())
    return json.loads(out.getvalue())


def test_plugin_adds_little_to_an_upload_whatever_the_broker_does(media):
    report = bench(rounds=15)
    assert set(report) == {"uploads", "without_ms", "alive", "dead", "frozen"}
    for arm in ("alive", "dead", "frozen"):
        # Processor time, because other work on the machine stretches the wall clock.
        assert report[arm]["extra_cpu_ms"] <= 5


def test_measuring_leaves_nothing_behind(media):
    bench(rounds=2)
    assert not Post.objects.exists()
    assert not AnalysisJob.objects.exists()
    assert not get_user_model().objects.exists()
    assert not [path for path in media.rglob("*") if path.is_file()]


def test_too_few_rounds_are_refused():
    with pytest.raises(CommandError, match="2 or more"):
        bench(rounds=1)
