"""One subject's page: its pictures, what may be mislabelled, and verbs that can be taken back."""

from __future__ import annotations

import re

import pytest
from django.test import Client
from django.urls import reverse

from embeddings import services
from embeddings.models import Change, Subject, Support
from embeddings.types import SupportRef
from tests.embeddings.factories import Artist, enrolled, seen
from tests.people import staff_client

pytestmark = pytest.mark.django_db
HISTORY = reverse("admin:booru_embeddings_change_changelist")


@pytest.fixture
def miku() -> Subject:
    """Five pictures of hers and one of another's."""
    draw = Artist(seed=4)
    one, other = draw.character(), draw.character()
    made = enrolled("miku", [draw.picture(one) for _ in range(5)])
    enrolled("rin", [draw.picture(other) for _ in range(5)])
    services.add_support(subject_id=made.pk, posts=[SupportRef(seen(draw.picture(other)).pk)], actor=None)
    return made


def page(subject: Subject) -> str:
    return reverse("admin:booru_embeddings_subject_pictures", args=[subject.pk])


def press(client: Client, subject: Subject, verb: str, **fields) -> str:
    address = reverse("admin:booru_embeddings_subject_verb", args=[subject.pk])
    return client.post(address, {"verb": verb, **fields}, follow=True).content.decode()


def test_every_picture_is_shown_those_to_look_at_first(staff, miku, django_assert_max_num_queries):
    with django_assert_max_num_queries(30):
        shown = staff.get(page(miku)).content.decode()
    assert shown.count('loading="lazy"') == 6
    assert "nearer to rin" in shown
    assert shown.index("bg-suspect") < shown.index('<li class="">')
    assert "1 to look at" in shown


def test_a_mislabelled_picture_goes_by_one_click_and_comes_back_by_another(staff, miku):
    wrong = miku.supports.last()
    assert "removed" in press(staff, miku, f"remove:{wrong.pk}")
    assert not Support.objects.filter(pk=wrong.pk).exists()
    change = Change.objects.first()
    assert change.actor is not None
    assert "Taken back" in press(staff, miku, f"undo:{change.pk}")
    assert Support.objects.get(pk=wrong.pk).post_id == wrong.post_id
    assert "taken back already" in press(staff, miku, f"undo:{change.pk}")


def test_ticked_pictures_become_another_one_and_are_merged_again(staff, miku):
    ticked = [row.pk for row in miku.supports.order_by("id")[:2]]
    shown = press(staff, miku, "split", without=ticked, name="snow miku")
    snow = Subject.objects.get(name="snow_miku")
    assert "snow_miku now" in shown
    assert snow.supports.count() == 2
    shown = press(staff, snow, "merge", into="miku")
    assert "part of miku" in shown
    assert miku.supports.count() == 6
    answer = staff.post(
        HISTORY, {"action": "undo", "_selected_action": [item.pk for item in Change.objects.all()[:2]]}, follow=True
    )
    shown = answer.content.decode()
    assert shown.count("was taken back") == 2
    assert "Select gallery change to" in shown
    assert re.search(r"\d gallery changes\b", shown)
    assert not Subject.objects.filter(name="snow_miku").exists()
    assert miku.supports.count() == 6


@pytest.mark.parametrize(
    ("verb", "fields"),
    [
        ("", {}),
        ("nonsense", {}),
        ("remove", {}),
        ("remove:x", {}),
        ("remove:99999999999999999999", {}),
        ("remove:404404", {}),
        ("split", {"name": "luka"}),
        ("split", {"name": "luka", "without": "404404"}),
        ("merge", {"into": "nobody"}),
        ("merge", {"into": "miku"}),
        ("undo:404404", {}),
    ],
)
def test_what_cannot_be_done_is_told_and_changes_nothing(staff, miku, verb, fields):
    before = Change.objects.count()
    assert 'class="error"' in press(staff, miku, verb, **fields)
    assert Change.objects.count() == before


def test_pictures_of_another_subject_cannot_be_removed_from_here(staff, miku):
    foreign = Subject.objects.get(name="rin").supports.first()
    press(staff, miku, f"remove:{foreign.pk}")
    assert Support.objects.filter(pk=foreign.pk).exists()


def test_verbs_take_the_right_to_enrol_and_looking_the_right_to_look(miku):
    looker, nobody = staff_client("booru_embeddings.view_subject"), staff_client()
    shown = looker.get(page(miku)).content.decode()
    assert 'name="verb"' not in shown
    verb = reverse("admin:booru_embeddings_subject_verb", args=[miku.pk])
    assert looker.post(verb, {"verb": "remove"}).status_code == 403
    assert nobody.get(page(miku)).status_code == 403
    assert nobody.get(HISTORY).status_code == 403
    assert looker.get(verb).status_code == 405


def test_names_from_people_are_escaped(staff):
    evil = "<script>alert(1)</script>"
    made = services.enrol(name=evil, posts=[SupportRef(seen(Artist().character()).pk)], actor=None)
    services.change(subject_id=made.pk, name=evil + "2")
    for address in (page(made), HISTORY):
        assert evil not in staff.get(address).content.decode()


def test_a_page_of_somebody_gone_leads_back_to_the_list(staff):
    address = reverse("admin:booru_embeddings_subject_pictures", args=[404404])
    assert staff.get(address).url == reverse("admin:booru_embeddings_subject_changelist")
