from __future__ import annotations

import json
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.db import connection

from embeddings.benchmarks import rivals

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.redis]


def bench(**options) -> dict:
    out = StringIO()
    call_command("booru_bench", "index", "--json", **options, stdout=out, stderr=StringIO())
    return json.loads(out.getvalue())


@pytest.mark.usefixtures("media")
def test_the_index_is_compared_with_what_is_installed_and_new_vectors_are_found(monkeypatch):
    monkeypatch.setattr(rivals.choose, "FAISS_FROM", 1000)
    report = bench(dimensions=[64], sizes=[2000], seconds=0.5, before=50)
    rows = {row["index"]: row for row in report["rows"]}
    assert set(rows) == {name for name in rivals.RIVALS if not rivals.missing(name)}
    assert rows["ours"]["kind"] == "GraphIndex"
    assert rows["ours"]["recall"] >= 0.97  # 500 queries of a small sample
    assert rows["numpy"]["recall"] == 1
    assert all(0 < row["p50_ms"] <= row["p99_ms"] for row in rows.values())
    assert all(row["p50_ms"] <= row["query_p99_ms"] for row in rows.values())
    assert (rows["ours"]["times_ours"], rows["ours"]["times_ours_p99"]) == (1, 1)
    assert report["freshness"]["database"] == connection.vendor
    assert report["freshness"]["added"] == 50
    assert report["freshness"]["p99_s"] <= 1


def test_sizes_that_say_nothing_are_refused():
    with pytest.raises(CommandError, match="1000 or more"):
        bench(sizes=[10])
