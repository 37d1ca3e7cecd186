from __future__ import annotations

import uuid
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import pytest
from django.db import connection
from django.db.models import QuerySet, Value
from django.db.models.functions import Now

from booru_ml.models import AnalysisJob
from booru_ml.statements import insert, kept, slot, slots, update

pytestmark = pytest.mark.django_db
State, EPOCH = AnalysisJob.State, datetime(2020, 1, 1, tzinfo=UTC)


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


@kept
def _of(using: str) -> QuerySet[AnalysisJob]:
    jobs = AnalysisJob.objects.using(using).filter(
        post__in=slots(AnalysisJob, "post"), state=slot(AnalysisJob, "state")
    )
    return jobs.annotate(sign=Value("100 %")).order_by("pk")


@pytest.mark.parametrize("count", [0, 1, 2, 3, 7, 40])
def test_a_list_may_be_of_any_length_none_included(upload, count):
    posts = [upload().pk for _ in range(count + 1)]
    found = _of("default").rows(post=posts[:count], state=State.QUEUED)
    assert [job.post_id for job in found] == posts[:count]
    assert _of("default").rows(post=posts[:count], state=State.DONE) == []
    assert [job.post_id for job in _of("default").rows(post=[*posts[:count], None, 0], state=State.QUEUED)] == posts[
        :count
    ]


def test_rows_are_what_the_queryset_would_give(upload):
    posts = [upload().pk for _ in range(2)]
    token = uuid.uuid4()
    AnalysisJob.objects.update(lease_token=token, timings={"decode": 0.25})

    @kept
    def tokens(using: str, *, flat: bool) -> QuerySet[AnalysisJob]:
        jobs = AnalysisJob.objects.using(using).filter(lease_token__in=slots(AnalysisJob, "lease_token")).order_by("pk")
        if flat:
            return jobs.values_list("lease_token", flat=True)
        return jobs.values_list("post_id", "lease_token", "timings", "created_at")

    made = list(AnalysisJob.objects.order_by("pk"))
    assert tokens("default", flat=True).rows(lease_token={token, uuid.uuid4()}) == [token, token]
    assert tokens("default", flat=False).rows(lease_token=[token]) == [
        (job.post_id, job.lease_token, job.timings, job.created_at) for job in made
    ]
    jobs = _of("default").rows(post=iter(posts), state=State.QUEUED)
    assert jobs == made
    assert [(job.lease_token, job.timings, job.sign, job._state.db) for job in jobs] == [
        (token, {"decode": 0.25}, "100 %", "default")
    ] * 2


def test_a_list_says_which_rows_are_updated(upload):
    posts = [upload().pk for _ in range(5)]

    @kept
    def name(using: str) -> object:
        rows = AnalysisJob.objects.using(using).filter(post__in=slots(AnalysisJob, "post"))
        return update(rows, code=slot(AnalysisJob, "code"))

    assert name("default").run(post=[], code="none") == 0
    assert name("default").run(post=posts[1:4], code="50 %s") == 3
    assert AnalysisJob.objects.filter(code="50 %s").count() == 3


def test_of_two_values_of_a_field_each_has_its_own_name(upload):
    jobs = [AnalysisJob.objects.get(post=upload()).pk for _ in range(4)]

    @kept
    def between(using: str) -> QuerySet[AnalysisJob]:
        after, until = (slot(AnalysisJob, "id", name) for name in ("after", "until"))
        rows = AnalysisJob.objects.using(using).filter(pk__gt=after, pk__lte=until)
        return rows.order_by("pk").values_list("pk", flat=True)

    assert between("default").rows(after=jobs[0], until=jobs[2]) == jobs[1:3]


def test_another_thread_asks_by_a_connection_of_its_own(upload):
    assert _of("default").rows(post=[upload().pk], state=State.QUEUED)

    def ask() -> list[AnalysisJob]:
        try:
            return _of("default").rows(post=[], state=State.QUEUED)
        finally:
            connection.close()

    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(ask).result() == []


@pytest.mark.parametrize("count", [0, 1, 3])
def test_rows_are_inserted_unless_they_are_there(upload, count):
    @kept
    def add(using: str) -> object:
        return insert(AnalysisJob, "ready_at")

    first = AnalysisJob.objects.get(post=upload())
    jobs = [AnalysisJob(post=upload(), content_key="other", timings={"read": 0.5}) for _ in range(count)]
    again = AnalysisJob(post_id=first.post_id, content_key=first.content_key, pipeline_version=first.pipeline_version)
    for job in (*jobs, again):
        job.ready_at, job.code = EPOCH, "new"
    add("default").run_each([vars(job) for job in jobs])
    add("default").run_each([vars(again)])
    found = AnalysisJob.objects.filter(code="new").order_by("pk")
    assert [(job.post_id, job.timings, job.ready_at) for job in found] == [
        (job.post_id, {"read": 0.5}, EPOCH) for job in jobs
    ]
    assert all(job.created_at > EPOCH and job.lease_token is None for job in found)


@pytest.mark.parametrize("count", [1, 3])
def test_rows_that_are_there_take_over_what_is_named(upload, count):
    @kept
    def write(using: str) -> object:
        key = ["post", "content_key", "pipeline_version"]
        return insert(AnalysisJob, unique_fields=key, update_fields=["code", "lease_token"])

    for _ in range(count):
        upload()
    jobs, token = list(AnalysisJob.objects.order_by("pk")), uuid.uuid4()
    for job in jobs:
        job.code, job.lease_token, job.message = "50 %s", token, "not taken over"
    write("default").run_each([vars(job) for job in jobs])
    found = AnalysisJob.objects.order_by("pk").values_list("pk", "code", "lease_token", "message")
    assert list(found) == [(job.pk, "50 %s", token, "") for job in jobs]
