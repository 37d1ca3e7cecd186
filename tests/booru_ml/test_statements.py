from __future__ import annotations

import uuid

import pytest
from django.db import connection
from django.db.models import QuerySet
from django.db.models.functions import Now

from booru_ml.models import AnalysisJob
from booru_ml.statements import kept, slot, update

pytestmark = pytest.mark.django_db
State = AnalysisJob.State


def test_sql_is_put_together_once_for_each_set_of_arguments(upload):
    posts = {upload().pk for _ in range(3)}
    built = []

    @kept
    def some(using: str, limit: int) -> QuerySet[AnalysisJob]:
        built.append(limit)
        return AnalysisJob.objects.using(using).filter(post=slot(AnalysisJob, "post")).values_list("post_id")[:limit]

    assert [some("default", 5).rows(post=pk) for pk in posts] == [[(pk,)] for pk in posts]
    assert some("default", 1).rows(post=0) == []
    assert built == [5, 1]


def test_slots_take_what_their_fields_take(upload):
    first, second = (AnalysisJob.objects.get(post=upload()) for _ in range(2))
    names = ("state", "lease_token", "timings", "width")

    @kept
    def write(using: str) -> object:
        rows = AnalysisJob.objects.using(using).filter(pk=slot(AnalysisJob, "id"))
        return update(rows, **{name: slot(AnalysisJob, name) for name in names}, finished_at=Now())

    token, timings = uuid.uuid4(), {"decode": 0.25, "said": "50 % 'quoted'"}
    said = {"state": State.DONE, "lease_token": token, "timings": timings, "width": 12}
    write("default").run_each([{"id": first.pk, **said}, {"id": second.pk, **said, "lease_token": None, "width": None}])
    found = AnalysisJob.objects.order_by("pk").values_list(*names)
    assert list(found) == [(State.DONE, token, timings, 12), (State.DONE, None, timings, None)]
    assert not AnalysisJob.objects.filter(finished_at=None).exists()
    assert write("default").run(id=first.pk, **said) == 1
    assert write("default").run(id=-1, **said) == 0


def test_a_slot_without_a_value_is_an_error_not_a_null(upload):
    @kept
    def one(using: str) -> QuerySet[AnalysisJob]:
        return AnalysisJob.objects.using(using).filter(code=slot(AnalysisJob, "code")).values_list("pk")

    with pytest.raises(KeyError, match="code"):
        one("default").rows()
    assert connection.is_usable()
