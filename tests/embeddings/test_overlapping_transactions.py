"""What a reader must not miss when transactions commit in another order than they began."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest
from django.db import connection, connections, transaction

from embeddings import services, similar
from embeddings.gallery import Room
from embeddings.models import Subject, Touched, Vector
from embeddings.types import SupportRef
from tests.embeddings.factories import VERSION, Artist, analysis, finding, post, seen

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.postgres,
    pytest.mark.skipif("connection.vendor != 'postgresql'", reason="SQLite has one writer at a time"),
]


class Other:
    """A second session; each step runs in its thread, and ``run`` waits for it."""

    def __init__(self) -> None:
        self.steps: list[tuple[threading.Event, object]] = []
        self.wake = threading.Condition()
        self.error: BaseException | None = None
        self.thread = threading.Thread(target=self._work, daemon=True)
        self.thread.start()

    def run(self, step) -> None:
        done = threading.Event()
        with self.wake:
            self.steps.append((done, step))
            self.wake.notify()
        assert done.wait(20), "the other session hangs"
        if self.error:
            raise self.error

    def _work(self) -> None:
        while True:
            with self.wake:
                while not self.steps:
                    self.wake.wait()
                done, step = self.steps.pop(0)
            try:
                if step is None:
                    connections.close_all()
                    return
                step()
            except BaseException as error:
                self.error = error
            finally:
                done.set()


@contextmanager
def other_session() -> Iterator[Other]:
    other = Other()
    try:
        yield other
    finally:
        other.run(None)


class Open:
    """A transaction that a thread leaves open between two steps."""

    def begin(self) -> None:
        self.atomic = transaction.atomic()
        self.atomic.__enter__()

    def commit(self) -> None:
        self.atomic.__exit__(None, None, None)


def test_a_lower_id_that_commits_last_is_found():
    draw = Artist()
    low, high = draw.character(), draw.character()
    late, early = post(), post()
    seen(draw.character())
    services.near(vector=low)  # the index stands
    with other_session() as other:
        slow = Open()
        other.run(slow.begin)
        other.run(lambda: services.remember([analysis(late, finding(low))]))
        services.remember([analysis(early, finding(high))])
        assert services.near(vector=high, limit=1)[0].post_id == early.pk
        assert services.near(vector=low, limit=1)[0].similarity < 0.9
        other.run(slow.commit)
    ids = dict(Vector.objects.values_list("post_id", "id"))
    assert ids[late.pk] < ids[early.pk]
    assert services.near(vector=low, limit=1)[0].post_id == late.pk


def test_a_transaction_that_began_first_and_wrote_last_is_found():
    draw = Artist()
    first, second = draw.character(), draw.character()
    slow_post, quick_post = post(), post()
    seen(draw.character())
    services.near(vector=first)
    with other_session() as other:
        slow = Open()
        other.run(slow.begin)
        other.run(lambda: post())  # the transaction has its number now, long before its vector
        for _ in range(3):
            seen(draw.character())
            services.near(vector=second)
        services.remember([analysis(quick_post, finding(second))])
        assert services.near(vector=second, limit=1)[0].post_id == quick_post.pk
        other.run(lambda: services.remember([analysis(slow_post, finding(first))]))
        services.near(vector=second)
        other.run(slow.commit)
    assert services.near(vector=first, limit=1)[0].post_id == slow_post.pk


def test_a_replaced_picture_is_found_though_its_transaction_was_slow():
    draw = Artist()
    before, after = draw.character(), draw.character()
    shown = seen(before)
    assert services.near(vector=before, limit=1)[0].post_id == shown.pk
    with other_session() as other:
        slow = Open()
        other.run(slow.begin)
        other.run(lambda: services.remember([analysis(shown, finding(after))]))
        seen(draw.character())
        assert services.near(vector=before, limit=1)[0].post_id == shown.pk
        other.run(slow.commit)
    assert services.near(vector=after, limit=1)[0].similarity > 0.99
    assert services.near(vector=before, limit=1)[0].similarity < 0.9


def test_a_picture_replaced_while_its_post_is_enrolled_is_compared_as_it_is_now():
    draw, room = Artist(), Room()
    before, after = draw.character(), draw.character()
    shown = seen(before)
    seen(draw.character())
    room.snapshot(VERSION, "picture")
    with other_session() as other:
        slow = Open()
        other.run(slow.begin)
        other.run(lambda: services.enrol(name="miku", posts=[SupportRef(shown.pk)], actor=None))
        with other_session() as worker, ThreadPoolExecutor(1) as steps:
            analyse = steps.submit(worker.run, lambda: services.remember([analysis(shown, finding(after))]))
            time.sleep(0.3)
            assert not analyse.done()  # it stands in line behind the enrolment, which it cannot see yet
            other.run(slow.commit)
            room.snapshot(VERSION, "picture")
            analyse.result(20)
    assert Touched.objects.latest("revision").subjects == [Subject.objects.get().pk]
    assert float(room.snapshot(VERSION, "picture").read.vectors[0] @ after) > 0.99


def test_a_long_transaction_does_not_make_readers_load_vectors_again(django_assert_max_num_queries):
    draw = Artist()
    seen(draw.character())
    services.near(vector=draw.character())
    with other_session() as other:
        slow = Open()
        other.run(slow.begin)
        other.run(lambda: post())
        for _ in range(5):
            seen(draw.character())
        services.near(vector=draw.character())
        with django_assert_max_num_queries(3):  # where it stands, the news by id, the hits: no vector is read
            services.near(vector=draw.character())
        other.run(slow.commit)


def test_enrolments_that_overlap_are_both_seen():
    draw = Artist()
    one, two = seen(draw.character()), seen(draw.character())
    room = Room()
    with other_session() as other:
        slow = Open()
        other.run(slow.begin)
        other.run(lambda: services.enrol(name="miku", posts=[SupportRef(one.pk)], actor=None))
        assert room.snapshot(VERSION, "picture").subjects == ()
        quick = threading.Thread(
            target=lambda: (
                services.enrol(name="luka", posts=[SupportRef(two.pk)], actor=None),
                connections.close_all(),
            )
        )
        quick.start()
        quick.join(0.5)
        assert quick.is_alive()  # it waits for its turn at the revision
        other.run(slow.commit)
        quick.join(20)
    assert {name for _, name, _ in room.snapshot(VERSION, "picture").subjects} == {"miku", "luka"}


def test_two_workers_on_one_post_leave_one_set_of_rows():
    draw = Artist()
    shared = post()
    vector = draw.character()
    with other_session() as other:
        slow = Open()
        other.run(slow.begin)
        other.run(lambda: services.remember([analysis(shared, finding(draw.character()))]))
        later = threading.Thread(
            target=lambda: (services.remember([analysis(shared, finding(vector))]), connections.close_all())
        )
        later.start()
        later.join(0.5)
        assert later.is_alive()
        other.run(slow.commit)
        later.join(20)
    assert Vector.objects.filter(post=shared).count() == 1
    assert services.near(vector=vector, limit=1)[0].similarity > 0.99
    assert similar.spaces[VERSION, "picture"].mark is not None
    assert connection.vendor == "postgresql"
