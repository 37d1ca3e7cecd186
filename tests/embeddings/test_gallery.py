"""Changes are live in every process at once: a ``Room`` here stands for a process."""

from __future__ import annotations

import pytest
from django.db import connection, transaction
from django.db.models import F
from django.test.utils import CaptureQueriesContext

from booru_ml.types import Box
from embeddings import gallery, members, revisions, services
from embeddings.gallery import Room
from embeddings.models import Gallery, Subject, Support, Vector
from embeddings.shown import overlap
from embeddings.types import SupportRef
from tests.embeddings.factories import VERSION, Artist, analysis, enrolled, finding, post, seen

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("looks_every_time")]


def names(room: Room, kind: str = "picture") -> list[str]:
    return [name for _, name, _ in room.snapshot(VERSION, kind).subjects]


def test_enrolling_in_one_process_is_seen_by_another():
    draw, here, there = Artist(), Room(), Room()
    assert names(there) == []
    enrolled("miku", [draw.character()])
    assert names(here) == names(there) == ["miku"]


def test_nothing_is_read_again_while_nothing_changes(django_assert_num_queries):
    room = Room()
    enrolled("miku", [Artist().character()])
    first = room.snapshot(VERSION, "picture")
    with django_assert_num_queries(3):  # revision, count, reach
        assert room.snapshot(VERSION, "picture") is first
    with django_assert_num_queries(2):
        assert room.snapshot(VERSION, "picture", known=first.revision) is first


def test_withdrawing_renaming_disabling_and_taking_back_are_seen():
    draw, room = Artist(), Room()
    miku = enrolled("miku", [draw.character(), draw.character()])
    luka = enrolled("luka", [draw.character()])
    assert names(room) == ["miku", "luka"]
    services.change(subject_id=miku.pk, name="hatsune miku")
    assert names(room) == ["hatsune_miku", "luka"]
    services.set_enabled(subject_id=luka.pk, enabled=False)
    assert names(room) == ["hatsune_miku"]
    services.remove_support(support_id=miku.supports.first().pk)
    assert len(room.snapshot(VERSION, "picture").posts) == 1
    services.withdraw(subject_id=miku.pk)
    assert names(room) == []


def test_a_deleted_support_post_is_forgotten_though_no_service_was_called():
    room = Room()
    miku = enrolled("miku", [Artist().character()])
    assert names(room) == ["miku"]
    miku.supports.get().post.delete()
    assert names(room) == []
    assert not Support.objects.exists()


def test_a_subject_deleted_behind_the_services_is_forgotten():
    room = Room()
    enrolled("miku", [Artist().character()])
    assert names(room) == ["miku"]
    Subject.objects.all().delete()
    assert names(room) == []


def test_a_support_waits_for_its_analysis_and_is_live_from_then_on():
    room, waiting = Room(), post()
    services.enrol(name="miku", posts=[SupportRef(waiting.pk)], actor=None)
    assert names(room) == []
    services.remember([analysis(waiting, finding(Artist().character()))])
    assert names(room) == ["miku"]


def test_a_vector_that_crossed_its_enrolment_is_found_by_the_second_look(monkeypatch):
    room, waiting = Room(), post()
    services.enrol(name="miku", posts=[SupportRef(waiting.pk)], actor=None)
    assert names(room) == []
    # The worker that wrote it did not see the enrolment yet, so it raised no revision.
    monkeypatch.setattr(revisions, "bump", lambda: 0)
    services.remember([analysis(waiting, finding(Artist().character()))])
    assert names(room) == ["miku"]


def test_a_replaced_support_picture_is_compared_as_it_is_now():
    draw, room = Artist(), Room()
    shown = seen(draw.character())
    services.enrol(name="miku", posts=[SupportRef(shown.pk)], actor=None)
    before = room.snapshot(VERSION, "picture").read.vectors
    services.remember([analysis(shown, finding(draw.character()))])
    after = room.snapshot(VERSION, "picture").read.vectors
    assert float(before[0] @ after[0]) < 0.9


def test_uploads_of_strangers_do_not_raise_the_revision():
    draw = Artist()
    enrolled("miku", [draw.character()])
    before = revisions.revision()
    for _ in range(3):
        seen(draw.character())
    assert revisions.revision() == before


def test_a_revision_that_was_rolled_back_is_not_mistaken_for_the_next():
    draw, room = Artist(), Room()
    enrolled("miku", [draw.character()])
    luka, rin = seen(draw.character()), seen(draw.character())
    with transaction.atomic():
        services.enrol(name="luka", posts=[SupportRef(luka.pk)], actor=None)
        assert names(room) == ["miku", "luka"]  # read under a number that is then rolled back
        transaction.set_rollback(True)
    services.enrol(name="rin", posts=[SupportRef(rin.pk)], actor=None)
    assert names(room) == ["miku", "rin"]


def test_the_revision_rises_by_one_even_when_the_row_is_missing():
    Gallery.objects.all().delete()
    assert [revisions.bump(), revisions.bump()] == [1, 2]


def test_the_only_face_of_a_support_picture_shows_its_subject_too():
    draw, room = Artist(), Room()
    enrolled("one", [draw.character()], faces=[draw.character()])
    enrolled("two", [draw.character()], faces=[draw.character(), draw.character()])
    assert names(room) == ["one", "two"]
    assert names(room, "face") == ["one"]


def test_a_chosen_face_is_found_again_where_it_was_not_by_its_number():
    draw, room, shown = Artist(), Room(), post()
    left, right = draw.character(), draw.character()
    services.remember([analysis(shown, finding(draw.character(), faces=[left, right]))])
    services.enrol(name="right", posts=[SupportRef(shown.pk, "face", 1)], actor=None)
    assert names(room) == []
    snapshot = room.snapshot(VERSION, "face")
    assert float(snapshot.read.vectors[0] @ right) > 0.99
    # Another detector misses the left face, so that the right one becomes number 0.
    again = finding(draw.character(), faces=[left, right])
    one = type(again)(again.embedding, again.style, again.faces[1:], {}, VERSION)
    services.remember([analysis(shown, one)])
    assert float(room.snapshot(VERSION, "face").read.vectors[0] @ right) > 0.99


def test_overlap_is_the_intersection_over_the_union():
    one = Box(0, 0, 0.4, 0.4)
    assert overlap(one, one) == pytest.approx(1)
    assert overlap(one, Box(0.2, 0, 0.4, 0.4)) == pytest.approx(1 / 3)
    assert overlap(one, Box(0.5, 0.5, 0.1, 0.1)) == 0
    assert overlap(one, None) == 0


def test_artists_stand_in_the_space_of_styles():
    draw, room = Artist(), Room()
    shown = seen(draw.character(), style=draw.character())
    services.enrol(name="someone", category="artist", posts=[SupportRef(shown.pk)], actor=None)
    assert names(room, "style") == ["someone"]
    assert names(room) == []


@pytest.mark.parametrize("before", [0, 100_000])
def test_strangers_are_drawn_from_the_board_but_not_from_the_enrolled(before):
    """Also where a new model's vectors come after very many of a former one."""
    draw, room = Artist(), Room()
    enrolled("miku", [draw.character() for _ in range(3)])
    for _ in range(40):
        seen(draw.character())
    Vector.objects.update(id=F("id") + before)
    services.set_enabled(subject_id=Subject.objects.get().pk, enabled=True)
    background = room.snapshot(VERSION, "picture").supports.fitted.support.background
    assert 30 <= len(background) <= 40
    assert (room.snapshot(VERSION, "picture").read.vectors @ background.T < 0.9).all()


def test_a_second_look_comes_after_half_a_second(monkeypatch):
    monkeypatch.setattr(gallery, "LOOK_SECONDS", 0.5)
    now = [100.0]
    monkeypatch.setattr(gallery.time, "monotonic", lambda: now[0])
    room = Room()
    miku = enrolled("miku", [Artist().character()])
    assert names(room) == ["miku"]
    miku.supports.get().post.delete()
    now[0] += 0.4
    assert names(room) == ["miku"]
    now[0] += 0.2
    assert names(room) == []


def test_data_that_did_not_change_is_not_read_again():
    draw, room = Artist(), Room()
    enrolled("miku", [draw.character() for _ in range(3)])
    before = room.snapshot(VERSION, "picture")
    shown = seen(draw.character())
    services.add_support(subject_id=Subject.objects.get().pk, posts=[SupportRef(shown.pk)], actor=None)
    with CaptureQueriesContext(connection) as captured:
        after = room.snapshot(VERSION, "picture")
    fetched = [item["sql"] for item in captured if '"data"' in item["sql"] and "stamp" in item["sql"]]
    assert len(fetched) == 1
    new = after.read.keys.keys() - before.read.keys.keys()
    assert [key[0] for key in new] == [shown.booru_vectors.get().pk]
    assert str(shown.booru_vectors.get().pk) in fetched[0].split(" IN ")[1]
    assert "," not in fetched[0].split(" IN ")[1]


def test_a_subject_with_many_pictures_is_compared_by_those_that_cover_its_looks(monkeypatch):
    monkeypatch.setattr(members, "EXEMPLARS", 3)
    draw, room = Artist(noise=0.1), Room()
    usual, rare = draw.character(), draw.character()
    enrolled("miku", [draw.picture(usual) for _ in range(8)] + [draw.picture(rare)])
    snapshot = room.snapshot(VERSION, "picture")
    assert len(snapshot.posts) == len(snapshot.read.vectors) == 3
    assert (snapshot.read.vectors @ rare).max() > 0.9
